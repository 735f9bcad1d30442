/* Messages of types that the program made: what is counted, kept, sent in parts and in place. */
#include "p2p.h"

#include <stddef.h>

struct pair {
    int key;
    char pad[4];
    double value;
};

static int to, from;

static MPI_Datatype pairs(void) {
    int lengths[2] = {1, 1};
    MPI_Aint places[2] = {offsetof(struct pair, key), offsetof(struct pair, value)};
    MPI_Datatype types[2] = {MPI_INT, MPI_DOUBLE}, made, type;
    OK(MPI_Type_create_struct(2, lengths, places, types, &made));
    OK(MPI_Type_create_resized(made, 0, sizeof(struct pair), &type));
    OK(MPI_Type_free(&made));
    return type;
}

/* Parts of an element are elements that cannot be counted. */
static void counts(void) {
    MPI_Datatype type = pairs();
    MPI_Status status;
    struct pair in[4];
    char bytes[64] = {0};
    int count;
    MPI_Count large;
    FAILS(MPI_ERR_TYPE, MPI_Send(in, 1, type, rank, 0, MPI_COMM_WORLD));
    FAILS(MPI_ERR_TYPE, MPI_Recv(in, 1, type, rank, 0, MPI_COMM_WORLD, &status));
    OK(MPI_Type_commit(&type));
    int lengths[] = {0, 4, 12, 16, 24, 28, 36, 6, 20};
    int counted[] = {0, MPI_UNDEFINED, 1, MPI_UNDEFINED, 2, MPI_UNDEFINED, 3, MPI_UNDEFINED,
                     MPI_UNDEFINED};
    int elements[] = {0, 1, 2, 3, 4, 5, 6, MPI_UNDEFINED, MPI_UNDEFINED};
    for (int n = 0; n < 9; n++) {
        OK(MPI_Send(bytes, lengths[n], MPI_BYTE, rank, 0, MPI_COMM_WORLD));
        OK(MPI_Recv(in, 4, type, rank, 0, MPI_COMM_WORLD, &status));
        OK(MPI_Get_count(&status, type, &count));
        CHECK(count == counted[n]);
        OK(MPI_Get_elements(&status, type, &count));
        CHECK(count == elements[n]);
        OK(MPI_Get_elements_x(&status, type, &large));
        CHECK(large == elements[n]);
    }
    for (int n = 0; n < 7; n++) {
        OK(MPI_Status_set_elements(&status, type, n));
        OK(MPI_Get_elements(&status, type, &count));
        CHECK(count == n);
        OK(MPI_Get_count(&status, type, &count));
        CHECK(count == (n % 2 ? MPI_UNDEFINED : n / 2));
    }
    OK(MPI_Type_free(&type));
}

enum { ROWS = 40, COLUMNS = 30 };
static int matrix[ROWS][COLUMNS], column[ROWS];

static MPI_Datatype columns(void) {
    MPI_Datatype type;
    OK(MPI_Type_vector(ROWS, 1, COLUMNS, MPI_INT, &type));
    OK(MPI_Type_commit(&type));
    return type;
}

static void fill(void) {
    for (int i = 0; i < ROWS; i++) {
        column[i] = -1;
        for (int j = 0; j < COLUMNS; j++) {
            matrix[i][j] = rank * 10000 + i * 100 + j;
        }
    }
}

/* A column goes around, and the type may be freed while it is on its way. */
static void on_its_way(void) {
    MPI_Datatype type = columns();
    MPI_Request requests[2];
    fill();
    OK(MPI_Irecv(column, ROWS, MPI_INT, from, 1, MPI_COMM_WORLD, &requests[0]));
    OK(MPI_Isend(&matrix[0][7], 1, type, to, 1, MPI_COMM_WORLD, &requests[1]));
    OK(MPI_Type_free(&type));
    OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
    for (int i = 0; i < ROWS; i++) {
        CHECK(column[i] == from * 10000 + i * 100 + 7);
    }
}

static void in_place_and_buffered(void) {
    MPI_Datatype type = columns();
    static char buffer[2 * (ROWS * 4 + MPI_BSEND_OVERHEAD)];
    void *at;
    int len;
    fill();
    OK(MPI_Sendrecv_replace(&matrix[0][3], 1, type, to, 2, from, 2, MPI_COMM_WORLD,
                            MPI_STATUS_IGNORE));
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLUMNS; j++) {
            CHECK(matrix[i][j] == (j == 3 ? from : rank) * 10000 + i * 100 + j);
        }
    }
    fill();
    OK(MPI_Buffer_attach(buffer, sizeof buffer));
    OK(MPI_Bsend(&matrix[0][4], 1, type, to, 3, MPI_COMM_WORLD));
    memset(matrix, 0, sizeof matrix);
    OK(MPI_Recv(&matrix[0][5], 1, type, from, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    for (int i = 0; i < ROWS; i++) {
        CHECK(matrix[i][5] == from * 10000 + i * 100 + 4 && matrix[i][4] == 0);
    }
    OK(MPI_Buffer_detach(&at, &len));
    OK(MPI_Type_free(&type));
}

/* Addresses that are in the type. */
static void absolute(void) {
    MPI_Aint place;
    MPI_Datatype type;
    int length = 2, out[2] = {rank, 5}, in[2] = {0, 0};
    OK(MPI_Get_address(out, &place));
    OK(MPI_Type_create_hindexed(1, &length, &place, MPI_INT, &type));
    OK(MPI_Type_commit(&type));
    OK(MPI_Sendrecv(MPI_BOTTOM, 1, type, to, 4, in, 2, MPI_INT, from, 4, MPI_COMM_WORLD,
                    MPI_STATUS_IGNORE));
    CHECK(in[0] == from && in[1] == 5);
    OK(MPI_Type_free(&type));
}

/* Parts of made types, cut in another way by the receiver. */
static void in_parts(void) {
    MPI_Datatype type, two;
    MPI_Request requests[2];
    OK(MPI_Type_vector(6, 1, 2, MPI_INT, &two));
    OK(MPI_Type_create_resized(two, 0, 12 * sizeof(int), &type));
    OK(MPI_Type_commit(&type));
    static int out[48], in[48];
    int cuts[][2] = {{4, 4}, {4, 2}, {1, 4}};
    for (int cut = 0; cut < 3; cut++) {
        int out_parts = cuts[cut][0], in_parts = cuts[cut][1];
        OK(MPI_Psend_init(out, out_parts, 4 / out_parts, type, to, 5, MPI_COMM_WORLD,
                          MPI_INFO_NULL, &requests[0]));
        OK(MPI_Precv_init(in, in_parts, 4 / in_parts, type, from, 5, MPI_COMM_WORLD,
                          MPI_INFO_NULL, &requests[1]));
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 48; i++) {
                out[i] = rank * 1000 + round * 100 + i;
                in[i] = -1;
            }
            OK(MPI_Startall(2, requests));
            for (int part = out_parts - 1; part >= 0; part--) {
                OK(MPI_Pready(part, requests[0]));
            }
            OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
            for (int i = 0; i < 48; i++) {
                CHECK(in[i] == (i % 2 ? -1 : from * 1000 + round * 100 + i));
            }
        }
        OK(MPI_Request_free(&requests[0]));
        OK(MPI_Request_free(&requests[1]));
    }
    OK(MPI_Type_free(&type));
    OK(MPI_Type_free(&two));
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    to = (rank + 1) % size;
    from = (rank + size - 1) % size;
    counts();
    on_its_way();
    in_place_and_buffered();
    absolute();
    in_parts();
    OK(MPI_Finalize());
    return 0;
}
