/* Derived types between ranks: each side may see the data in its own way. */
#include "check.h"

#include <stddef.h>

enum { ROWS = 40, COLUMNS = 50 };

static double at(int row, int column) {
    return row * 1000 + column;
}

/* A matrix goes by columns, and is stored transposed. */
static void transposed(int rank) {
    static double matrix[ROWS][COLUMNS], other[COLUMNS][ROWS];
    MPI_Datatype column, next;
    MPI_Type_vector(ROWS, 1, COLUMNS, MPI_DOUBLE, &column);
    MPI_Type_create_resized(column, 0, sizeof(double), &next);
    MPI_Type_commit(&next);
    if (rank == 0) {
        for (int n = 0; n < ROWS * COLUMNS; n++) {
            matrix[n / COLUMNS][n % COLUMNS] = at(n / COLUMNS, n % COLUMNS);
        }
        MPI_Send(matrix, COLUMNS, next, 1, 1, MPI_COMM_WORLD);
    } else if (rank == 1) {
        MPI_Recv(other, ROWS * COLUMNS, MPI_DOUBLE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int n = 0; n < ROWS * COLUMNS; n++) {
            CHECK(other[n % COLUMNS][n / COLUMNS] == at(n / COLUMNS, n % COLUMNS));
        }
    }
    MPI_Type_free(&column);
    MPI_Type_free(&next);
}

struct particle {
    char kind;
    double place[3];
    short flags;
};

/* Gaps are not touched. */
static void records(int rank) {
    struct particle particles[100];
    MPI_Datatype type, sized, parts[] = {MPI_CHAR, MPI_DOUBLE, MPI_SHORT};
    MPI_Aint places[] = {offsetof(struct particle, kind), offsetof(struct particle, place),
                         offsetof(struct particle, flags)};
    MPI_Type_create_struct(3, (int[]){1, 3, 1}, places, parts, &type);
    MPI_Type_create_resized(type, 0, sizeof(struct particle), &sized);
    MPI_Type_commit(&sized);
    memset(particles, rank == 0 ? 0 : 0x77, sizeof particles);
    if (rank == 0) {
        for (int n = 0; n < 100; n++) {
            particles[n] = (struct particle){n, {n, n + 0.5, -n}, 3 * n};
        }
        MPI_Send(particles, 100, sized, 1, 2, MPI_COMM_WORLD);
        /* Freed while others may use what was made of it. */
        MPI_Type_free(&type);
    } else if (rank == 1) {
        MPI_Type_free(&type);
        MPI_Recv(particles, 100, sized, 0, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int n = 0; n < 100; n++) {
            CHECK(particles[n].kind == n && particles[n].flags == 3 * n);
            CHECK(particles[n].place[1] == n + 0.5 && particles[n].place[2] == -n);
            CHECK(((char *)&particles[n])[1] == 0x77);
        }
    } else {
        MPI_Type_free(&type);
    }
    MPI_Type_free(&sized);
}

/* Absolute addresses: variables anywhere, from MPI_BOTTOM. */
static void bottom(int rank) {
    int number = rank == 0 ? 41 : 0;
    static double real;
    char *text = malloc(8);
    MPI_Datatype type, parts[] = {MPI_INT, MPI_DOUBLE, MPI_CHAR};
    MPI_Aint places[3];
    real = rank == 0 ? 1.25 : 0;
    strcpy(text, rank == 0 ? "hello" : "");
    MPI_Get_address(&number, &places[0]);
    MPI_Get_address(&real, &places[1]);
    MPI_Get_address(text, &places[2]);
    MPI_Type_create_struct(3, (int[]){1, 1, 6}, places, parts, &type);
    MPI_Type_commit(&type);
    if (rank == 0) {
        MPI_Send(MPI_BOTTOM, 1, type, 1, 3, MPI_COMM_WORLD);
    } else if (rank == 1) {
        MPI_Recv(MPI_BOTTOM, 1, type, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        CHECK(number == 41 && real == 1.25 && strcmp(text, "hello") == 0);
    }
    MPI_Type_free(&type);
    free(text);
}

/* Halves of a long message, in other pieces on each side. */
static void large(int rank) {
    enum { COUNT = 300000 };
    MPI_Datatype pairs, triples;
    int *numbers = malloc(6 * COUNT * sizeof(int));
    memset(numbers, 0, 6 * COUNT * sizeof(int));
    MPI_Type_vector(COUNT / 2, 2, 4, MPI_INT, &pairs);
    MPI_Type_vector(COUNT / 3, 3, -9, MPI_INT, &triples);
    MPI_Type_commit(&pairs);
    MPI_Type_commit(&triples);
    if (rank == 0) {
        for (int n = 0; n < COUNT; n++) {
            numbers[n / 2 * 4 + n % 2] = n + 1;
        }
        MPI_Send(numbers, 1, pairs, 1, 4, MPI_COMM_WORLD);
    } else if (rank == 1) {
        int *last = numbers + (COUNT / 3 - 1) * 9;
        MPI_Recv(last, 1, triples, 0, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int n = 0; n < COUNT; n++) {
            CHECK(last[-(n / 3) * 9 + n % 3] == n + 1);
        }
        CHECK(last[3] == 0 && numbers[4] == 0);
    }
    MPI_Type_free(&pairs);
    MPI_Type_free(&triples);
    free(numbers);
}

/* A matrix of all ranks, distributed both ways; rank 0 sends each its part, and gets it back. */
static void distributed(int rank, int size) {
    static int whole[12][15], again[12][15], part[12 * 15];
    for (int n = 0; n < 12 * 15; n++) {
        whole[n / 15][n % 15] = n;
        again[n / 15][n % 15] = -1;
    }
    int kinds[2] = {MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC};
    int grid[2] = {size % 2 == 0 ? 2 : 1, size % 2 == 0 ? size / 2 : size};
    int arguments[2] = {MPI_DISTRIBUTE_DFLT_DARG, 2};
    if (rank == 0) {
        for (int to = 0; to < size; to++) {
            MPI_Datatype type;
            MPI_Type_create_darray(size, to, 2, (int[]){12, 15}, kinds, arguments, grid,
                                   MPI_ORDER_C, MPI_INT, &type);
            MPI_Type_commit(&type);
            if (to > 0) {
                MPI_Send(whole, 1, type, to, 5, MPI_COMM_WORLD);
                MPI_Recv(again, 1, type, to, 6, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            } else {
                int bytes, position = 0;
                MPI_Pack(whole, 1, type, part, sizeof part, &position, MPI_COMM_WORLD);
                bytes = position, position = 0;
                MPI_Unpack(part, bytes, &position, again, 1, type, MPI_COMM_WORLD);
            }
            MPI_Type_free(&type);
        }
        CHECK(memcmp(whole, again, sizeof whole) == 0);
    } else {
        MPI_Datatype type;
        int bytes;
        MPI_Type_create_darray(size, rank, 2, (int[]){12, 15}, kinds, arguments, grid, MPI_ORDER_C,
                               MPI_INT, &type);
        MPI_Type_size(type, &bytes);
        MPI_Type_free(&type);
        MPI_Recv(part, bytes / 4, MPI_INT, 0, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int n = 1; n < bytes / 4; n++) {
            CHECK(part[n - 1] < part[n]);
        }
        MPI_Send(part, bytes / 4, MPI_INT, 0, 6, MPI_COMM_WORLD);
    }
}

/* Blocks of all lengths at irregular places, more than is copied at a time. */
static void irregular(int rank, int size) {
    enum { BLOCKS = 30000, SPAN = 1000000 };
    static int lengths[BLOCKS], places[BLOCKS];
    static char out[SPAN], in[SPAN], due[SPAN];
    int end = 0, bytes = 0;
    for (int i = 0; i < BLOCKS; i++) {
        lengths[i] = 1 + i * 7 % 23;
        places[i] = end + i * 5 % 11;
        end = places[i] + lengths[i];
        bytes += lengths[i];
    }
    CHECK(end <= SPAN);
    for (int i = 0; i < SPAN; i++) {
        out[i] = (char)(i * 31 + i / 256);
    }
    for (int i = 0; i < BLOCKS; i++) {
        memcpy(due + places[i], out + places[i], lengths[i]);
    }
    MPI_Datatype type;
    MPI_Status status;
    int to = (rank + 1) % size, from = (rank + size - 1) % size, got;
    MPI_Type_indexed(BLOCKS, lengths, places, MPI_CHAR, &type);
    MPI_Type_commit(&type);
    MPI_Sendrecv(out, 1, type, to, 5, in, 1, type, from, 5, MPI_COMM_WORLD, &status);
    MPI_Get_count(&status, MPI_CHAR, &got);
    CHECK(got == bytes && memcmp(in, due, SPAN) == 0);
    MPI_Type_free(&type);
}

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > 1) {
        transposed(rank);
        records(rank);
        bottom(rank);
        large(rank);
    }
    distributed(rank, size);
    irregular(rank, size);
    MPI_Finalize();
    return 0;
}
