// Makes calls that are blocked in await_call: WIDTH chains of DEPTH calls, each awaiting the next,
// the last one asleep for SECONDS. Its own name is its first argument.
//
//   blocked WIDTH DEPTH SECONDS
//
// It uses no stdio, so that what is measured is the runtime's share and not the C library's.
#include <faasm.h>
#include <stdlib.h>
#include <unistd.h>

struct order {
    int depth, seconds;
};

static int chain(const char *name, int depth, int seconds) {
    struct order order = {depth, seconds};
    return chain_call(name, &order, sizeof order);
}

static int one_chain(const char *name, const struct order *order) {
    if (order->depth == 0) {
        sleep((unsigned)order->seconds);
        return 0;
    }
    int id = chain(name, order->depth - 1, order->seconds);
    return id < 0 ? 1 : await_call(id) != 0;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        size_t len;
        const struct order *order = (const struct order *)read_call_input(&len);
        return len == sizeof *order ? one_chain(argv[0], order) : 2;
    }
    int width = atoi(argv[1]), depth = atoi(argv[2]), seconds = atoi(argv[3]);
    int *ids = calloc((size_t)width, sizeof *ids);
    int failed = 0;
    for (int i = 0; i < width; i++) {
        ids[i] = chain(argv[0], depth - 1, seconds);
        failed += ids[i] < 0;
    }
    for (int i = 0; i < width; i++) {
        failed += ids[i] >= 0 && await_call(ids[i]) != 0;
    }
    return failed != 0;
}
