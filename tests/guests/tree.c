// A tree of calls, every output checked: `tree WIDTH DEPTH` (as arguments, or "WIDTH DEPTH" as
// input) chains WIDTH calls of its own, each a tree one level less deep. The output is the path of
// the call, then the number of calls below and with it; a parent knows both for each of its
// children and fails with 3 when one is wrong, and with 4 when a child failed.
#include <faasm.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    int width, depth;
    unsigned long path; // the root's is 1, that of its child i is 1 * width + i, and so on
};

static unsigned long calls_of(const struct node *node)
{
    unsigned long calls = 1, level = 1;
    for (int depth = 0; depth < node->depth; ++depth) {
        level *= (unsigned long)node->width;
        calls += level;
    }
    return calls;
}

static size_t expected_of(const struct node *node, char *text, size_t room)
{
    return (size_t)snprintf(text, room, "%lu:%lu", node->path, calls_of(node));
}

static struct node child_of(const struct node *node, int index)
{
    const unsigned long path = node->path * (unsigned long)node->width + (unsigned long)index;
    return (struct node){node->width, node->depth - 1, path};
}

static int chain(const struct node *node)
{
    char input[64];
    const int size = snprintf(input, sizeof input, "%d %d %lu", node->width, node->depth, node->path);
    return chain_call("tree", input, (size_t)size);
}

static bool output_is_right(const struct node *node, int call)
{
    char expected[64];
    const size_t size = expected_of(node, expected, sizeof expected);
    size_t len;
    uint8_t *output = get_call_output(call, &len);
    const bool right = output && len == size && memcmp(output, expected, size) == 0;
    if (!right)
        fprintf(stderr, "expected %s, got %s\n", expected, output ? (char *)output : "an error");
    free(output);
    return right;
}

static int run(const struct node *node)
{
    int *calls = malloc(sizeof(int) * (size_t)(node->width + 1));
    const int width = node->depth > 0 ? node->width : 0;
    for (int i = 0; i < width; ++i) {
        const struct node child = child_of(node, i);
        calls[i] = chain(&child);
        if (calls[i] < 0) {
            fprintf(stderr, "chain_call: error %d\n", calls[i]);
            return 4;
        }
    }
    for (int i = 0; i < width; ++i) {
        const struct node child = child_of(node, i);
        const int result = await_call(calls[i]);
        if (result != 0) {
            fprintf(stderr, "child %lu: %d: %s\n", child.path, result, call_error(calls[i]));
            return 4;
        }
        if (!output_is_right(&child, calls[i]))
            return 3;
    }
    char text[64];
    return write_call_output(text, expected_of(node, text, sizeof text)) < 0;
}

int main(int argc, char **argv)
{
    struct node node = {.path = 1};
    if (argc > 2) {
        node.width = atoi(argv[1]);
        node.depth = atoi(argv[2]);
    } else {
        const char *input = (const char *)read_call_input(NULL);
        if (input == NULL || sscanf(input, "%d %d %lu", &node.width, &node.depth, &node.path) < 2)
            return 2;
    }
    return run(&node);
}
