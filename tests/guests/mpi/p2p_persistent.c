/* Requests that are started again and again. */
#include "p2p.h"

#define ROUNDS 1000

int main(int argc, char **argv) {
    begin(&argc, &argv);
    int to = (rank + 1) % size, from = (rank + size - 1) % size;
    int out[4], in[4], room = 4 * (4 + MPI_BSEND_OVERHEAD), flag;
    void *buffer = malloc(room);
    MPI_Request requests[8];
    MPI_Status statuses[8];
    OK(MPI_Buffer_attach(buffer, room));
    for (int i = 0; i < 4; i++) {
        OK(MPI_Recv_init(&in[i], 1, MPI_INT, i % 2 ? MPI_ANY_SOURCE : from, i, MPI_COMM_WORLD,
                         &requests[i]));
    }
    OK(MPI_Send_init(&out[0], 1, MPI_INT, to, 0, MPI_COMM_WORLD, &requests[4]));
    OK(MPI_Ssend_init(&out[1], 1, MPI_INT, to, 1, MPI_COMM_WORLD, &requests[5]));
    OK(MPI_Bsend_init(&out[2], 1, MPI_INT, to, 2, MPI_COMM_WORLD, &requests[6]));
    OK(MPI_Send_init(&out[3], 1, MPI_INT, to, 3, MPI_COMM_WORLD, &requests[7]));
    MPI_Request kept[8];
    memcpy(kept, requests, sizeof kept);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 4; i++) {
            in[i] = -1;
            out[i] = rank * 10000000 + round * 4 + i;
        }
        if (round % 3) {
            OK(MPI_Startall(8, requests));
        } else {
            for (int i = 7; i >= 0; i--) {
                OK(MPI_Start(&requests[i]));
            }
        }
        FAILS(MPI_ERR_REQUEST, MPI_Start(&requests[1]));
        if (round % 2) {
            OK(MPI_Waitall(8, requests, statuses));
        } else {
            do {
                OK(MPI_Testall(8, requests, &flag, statuses));
            } while (!flag);
        }
        CHECK(memcmp(kept, requests, sizeof kept) == 0);
        for (int i = 0; i < 4; i++) {
            CHECK(in[i] == from * 10000000 + round * 4 + i);
            CHECK(statuses[i].MPI_SOURCE == from && statuses[i].MPI_TAG == i);
        }
        OK(MPI_Wait(&requests[3], &statuses[3]));
        CHECK(is_empty(&statuses[3]));
    }
    for (int i = 0; i < 8; i++) {
        OK(MPI_Request_free(&requests[i]));
        CHECK(requests[i] == MPI_REQUEST_NULL);
    }
    FAILS(MPI_ERR_REQUEST, MPI_Start(&kept[0]));
    OK(MPI_Buffer_detach(&buffer, &room));
    OK(MPI_Finalize());
    return 0;
}
