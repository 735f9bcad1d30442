// Makes calls that are blocked in await_call: WIDTH chains of DEPTH calls, each awaiting the next,
// the last one asleep for SECONDS. Its own name is its first argument.
//
//   blocked WIDTH DEPTH SECONDS
#include <faasm.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int one_chain(const char *name, int depth, int seconds) {
    if (depth == 0) {
        sleep((unsigned)seconds);
        return 0;
    }
    char input[32];
    int len = snprintf(input, sizeof input, "%d %d", depth - 1, seconds);
    int id = chain_call(name, input, (size_t)len);
    return id < 0 ? 1 : await_call(id) != 0;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        size_t len;
        int depth, seconds;
        char *input = (char *)read_call_input(&len);
        if (sscanf(input, "%d %d", &depth, &seconds) != 2) {
            return 2;
        }
        return one_chain(argv[0], depth, seconds);
    }
    int width = atoi(argv[1]), depth = atoi(argv[2]), seconds = atoi(argv[3]);
    int *ids = calloc((size_t)width, sizeof *ids);
    int failed = 0;
    for (int i = 0; i < width; i++) {
        char input[32];
        int len = snprintf(input, sizeof input, "%d %d", depth - 1, seconds);
        ids[i] = chain_call(argv[0], input, (size_t)len);
        failed += ids[i] < 0;
    }
    for (int i = 0; i < width; i++) {
        failed += ids[i] >= 0 && await_call(ids[i]) != 0;
    }
    printf("%d of %d chains failed\n", failed, width);
    return failed != 0;
}
