/* A send and a receive in one call: around a ring, with oneself, in place, of different types. */
#include "p2p.h"

#define LONG 30000

static int out[LONG], in[LONG];

static void fill(int from) {
    for (int i = 0; i < LONG; i++) {
        out[i] = from * 31 + i;
        in[i] = -1;
    }
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    int to = (rank + 1) % size, from = (rank + size - 1) % size, count;
    MPI_Comm w = MPI_COMM_WORLD;
    MPI_Status status;
    MPI_Request request;
    for (int n = 0; n <= LONG; n += LONG / 2) {
        for (int form = 0; form < 8; form++) {
            int in_place = form & 1, peer = form & 2 ? rank : from;
            fill(rank);
            MPI_Request *r = &request;
            int dest = form & 2 ? rank : to;
            if (form & 4) {
                if (in_place) {
                    OK(MPI_Isendrecv_replace(out, n, MPI_INT, dest, 1, peer, 1, w, r));
                } else {
                    OK(MPI_Isendrecv(out, n, MPI_INT, dest, 1, in, LONG, MPI_INT, peer, 1, w, r));
                }
                OK(MPI_Wait(r, &status));
                CHECK(request == MPI_REQUEST_NULL);
            } else if (in_place) {
                OK(MPI_Sendrecv_replace(out, n, MPI_INT, dest, 1, peer, 1, w, &status));
            } else {
                OK(MPI_Sendrecv(out, n, MPI_INT, dest, 1, in, LONG, MPI_INT,
                                n ? MPI_ANY_SOURCE : peer, n ? 1 : MPI_ANY_TAG, w, &status));
            }
            int *got = in_place ? out : in;
            OK(MPI_Get_count(&status, MPI_INT, &count));
            CHECK(status.MPI_SOURCE == peer && status.MPI_TAG == 1 && count == n);
            for (int i = 0; i < n; i++) {
                CHECK(got[i] == peer * 31 + i);
            }
            meet();
        }
    }
    /* Nobody on one side. */
    fill(rank);
    int edge_to = rank + 1 < size ? rank + 1 : MPI_PROC_NULL;
    int edge_from = rank > 0 ? rank - 1 : MPI_PROC_NULL;
    OK(MPI_Sendrecv(out, 1, MPI_INT, edge_to, 2, in, 1, MPI_INT, edge_from, 2, w, &status));
    CHECK(in[0] == (rank > 0 ? (rank - 1) * 31 : -1) && status.MPI_SOURCE == edge_from);
    OK(MPI_Sendrecv_replace(out, 1, MPI_INT, edge_to, 3, edge_from, 3, w, &status));
    CHECK(out[0] == (rank > 0 ? (rank - 1) : rank) * 31);
    /* Too long a message is an error of the call, and the send is done all the same. */
    meet();
    FAILS(MPI_ERR_TRUNCATE,
          MPI_Sendrecv(out, 4, MPI_INT, to, 4, in, 3, MPI_INT, from, 4, w, &status));
    OK(MPI_Finalize());
    return 0;
}
