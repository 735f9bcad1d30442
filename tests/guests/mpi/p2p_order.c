/* Messages between two ranks do not overtake each other, whatever takes them. */
#include "p2p.h"

#define MANY 300

static void from_all_with_wildcards(void) {
    int next[64] = {0};
    for (int n = 0; n < MANY; n++) {
        int message[2] = {rank, n};
        MPI_Request request;
        OK(MPI_Isend(message, 2, MPI_INT, 0, n % 3, MPI_COMM_WORLD, &request));
        if (rank == 0) {
            for (int i = 0; i < size; i++) {
                int got[2];
                MPI_Status status;
                OK(MPI_Recv(got, 2, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD,
                            &status));
                CHECK(status.MPI_SOURCE == got[0] && status.MPI_TAG == got[1] % 3);
                CHECK(got[1] == next[got[0]]++);
            }
        }
        OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    }
    /* Nobody sends anything else before all is received. */
    int token = 0;
    for (int to = 1; rank == 0 && to < size; to++) {
        OK(MPI_Send(&token, 1, MPI_INT, to, 9997, MPI_COMM_WORLD));
    }
    if (rank > 0) {
        OK(MPI_Recv(&token, 1, MPI_INT, 0, 9997, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    }
}

/* Receives that are posted first are matched first; a tag of its own is taken from between. */
static void posted_in_order(void) {
    static int in[MANY], marked;
    static MPI_Request requests[MANY];
    int peer = rank ^ 1;
    if (peer >= size) {
        peer = rank;
    }
    MPI_Request mark;
    OK(MPI_Irecv(&marked, 1, MPI_INT, MPI_ANY_SOURCE, 77, MPI_COMM_WORLD, &mark));
    for (int n = 0; n < MANY; n++) {
        int source = n % 2 ? peer : MPI_ANY_SOURCE;
        OK(MPI_Irecv(&in[n], 1, MPI_INT, source, 5, MPI_COMM_WORLD, &requests[n]));
    }
    for (int n = 0; n < MANY; n++) {
        OK(MPI_Send(&n, 1, MPI_INT, peer, 5, MPI_COMM_WORLD));
        if (n == MANY / 2) {
            OK(MPI_Send(&n, 1, MPI_INT, peer, 77, MPI_COMM_WORLD));
        }
    }
    OK(MPI_Waitall(MANY, requests, MPI_STATUSES_IGNORE));
    OK(MPI_Wait(&mark, MPI_STATUS_IGNORE));
    CHECK(marked == MANY / 2);
    for (int n = 0; n < MANY; n++) {
        CHECK(in[n] == n);
    }
}

/* Short and long messages of one sender keep their order, also when they come before they are
 * asked for; tags are taken in any order. */
static void lengths_and_tags(void) {
    enum { LONG = 50000, COUNT = 8 };
    static int out[COUNT][LONG], in[LONG];
    MPI_Request requests[COUNT];
    int to = (rank + 1) % size, from = (rank + size - 1) % size;
    for (int n = 0; n < COUNT; n++) {
        out[n][0] = n;
        OK(MPI_Isend(out[n], n % 2 ? LONG : 1, MPI_INT, to, n / 4, MPI_COMM_WORLD, &requests[n]));
    }
    int order[COUNT] = {4, 0, 1, 5, 6, 2, 7, 3};
    for (int i = 0; i < COUNT; i++) {
        MPI_Status status;
        int count;
        OK(MPI_Recv(in, LONG, MPI_INT, from, order[i] / 4, MPI_COMM_WORLD, &status));
        OK(MPI_Get_count(&status, MPI_INT, &count));
        CHECK(in[0] == order[i] && count == (order[i] % 2 ? LONG : 1));
    }
    OK(MPI_Waitall(COUNT, requests, MPI_STATUSES_IGNORE));
}

/* What is sent in one communicator is not received in another. */
static void communicators(void) {
    int one = 1, two = 2, in = 0;
    OK(MPI_Send(&one, 1, MPI_INT, rank, 3, MPI_COMM_WORLD));
    OK(MPI_Send(&two, 1, MPI_INT, 0, 3, MPI_COMM_SELF));
    OK(MPI_Recv(&in, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, MPI_STATUS_IGNORE));
    CHECK(in == 2);
    OK(MPI_Recv(&in, 1, MPI_INT, rank, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    CHECK(in == 1);
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    from_all_with_wildcards();
    meet();
    posted_in_order();
    meet();
    lengths_and_tags();
    meet();
    communicators();
    OK(MPI_Finalize());
    return 0;
}
