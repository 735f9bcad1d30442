/* Packing by the program: positions, what was packed can be sent, the bytes of external32. */
#include "check.h"

#include <stddef.h>
#include <wchar.h>

static void positions(void) {
    char buffer[32];
    int position = 4, number = 77, two[2] = {1, 2}, size;
    double real = 2.5;
    memset(buffer, 0x55, sizeof buffer);
    MPI_Pack(&number, 1, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD);
    CHECK(position == 8);
    MPI_Pack(&real, 1, MPI_DOUBLE, buffer, 32, &position, MPI_COMM_WORLD);
    MPI_Pack(two, 2, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD);
    CHECK(position == 24 && buffer[3] == 0x55 && buffer[24] == 0x55);
    MPI_Pack(two, 0, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD);
    CHECK(position == 24);
    FAILS(MPI_ERR_TRUNCATE, MPI_Pack(two, 3, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD));
    FAILS(MPI_ERR_TRUNCATE, MPI_Pack(two, 2, MPI_INT, buffer, 31, &position, MPI_COMM_WORLD));
    CHECK(position == 24);
    number = two[0] = two[1] = 0, real = 0, position = 4;
    MPI_Unpack(buffer, 32, &position, &number, 1, MPI_INT, MPI_COMM_WORLD);
    MPI_Unpack(buffer, 32, &position, &real, 1, MPI_DOUBLE, MPI_COMM_WORLD);
    MPI_Unpack(buffer, 32, &position, two, 2, MPI_INT, MPI_COMM_WORLD);
    CHECK(position == 24 && number == 77 && real == 2.5 && two[0] == 1 && two[1] == 2);
    FAILS(MPI_ERR_TRUNCATE, MPI_Unpack(buffer, 25, &position, two, 1, MPI_INT, MPI_COMM_WORLD));
    position = 33;
    FAILS(MPI_ERR_ARG, MPI_Pack(two, 1, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD));
    position = -1;
    FAILS(MPI_ERR_ARG, MPI_Pack(two, 1, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD));
    position = 0;
    FAILS(MPI_ERR_COUNT, MPI_Pack(two, -1, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD));
    FAILS(MPI_ERR_TYPE, MPI_Pack(two, 1, MPI_DATATYPE_NULL, buffer, 32, &position, MPI_COMM_WORLD));
    FAILS(MPI_ERR_COMM, MPI_Pack(two, 1, MPI_INT, buffer, 32, &position, MPI_COMM_NULL));
    FAILS(MPI_ERR_BUFFER, MPI_Pack((void *)-8, 2, MPI_INT, buffer, 32, &position, MPI_COMM_WORLD));
    MPI_Pack_size(3, MPI_DOUBLE_INT, MPI_COMM_WORLD, &size);
    CHECK(size == 36);
}

/* What one rank packed in parts, another receives as a whole, and the other way round. */
static void sent(int rank) {
    char buffer[16];
    int position = 0, number = 5;
    double real = 0.25;
    if (rank == 0) {
        MPI_Pack(&number, 1, MPI_INT, buffer, 16, &position, MPI_COMM_WORLD);
        MPI_Pack(&real, 1, MPI_DOUBLE, buffer, 16, &position, MPI_COMM_WORLD);
        MPI_Send(buffer, position, MPI_PACKED, 1, 3, MPI_COMM_WORLD);
        MPI_Send(&number, 1, MPI_INT, 1, 4, MPI_COMM_WORLD);
    } else if (rank == 1) {
        struct { double real; int number; } both = {0, 0};
        MPI_Datatype type, parts[2] = {MPI_INT, MPI_DOUBLE};
        MPI_Type_create_struct(2, (int[]){1, 1}, (MPI_Aint[]){8, 0}, parts, &type);
        MPI_Type_commit(&type);
        MPI_Recv(&both, 1, type, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        CHECK(both.number == 5 && both.real == 0.25);
        MPI_Type_free(&type);
        MPI_Recv(buffer, 16, MPI_PACKED, 0, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        number = 0;
        MPI_Unpack(buffer, 16, &position, &number, 1, MPI_INT, MPI_COMM_WORLD);
        CHECK(number == 5);
    }
}

struct record {
    char letter;
    short small;
    int number;
    long long large;
    float real;
    double wide;
    wchar_t character;
    MPI_Aint address;
};

static void external(void) {
    struct record record = {'A', 0x0102, 0x03040506, 0x0708090a0b0c0d0eLL, 1.5f, -2.0, 0x4e2d, -3};
    struct record back;
    const unsigned char expected[] = {
        'A',  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
        0x0d, 0x0e, 0x3f, 0xc0, 0,    0,    0xc0, 0,    0,    0,    0,    0,    0,
        0,    0x4e, 0x2d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd,
    };
    unsigned char buffer[128];
    MPI_Datatype type, parts[] = {MPI_CHAR,  MPI_SHORT,  MPI_INT,   MPI_LONG_LONG,
                                  MPI_FLOAT, MPI_DOUBLE, MPI_WCHAR, MPI_AINT};
    MPI_Aint at[] = {offsetof(struct record, letter),    offsetof(struct record, small),
                     offsetof(struct record, number),    offsetof(struct record, large),
                     offsetof(struct record, real),      offsetof(struct record, wide),
                     offsetof(struct record, character), offsetof(struct record, address)};
    MPI_Aint position = 0, size;
    MPI_Type_create_struct(8, (int[]){1, 1, 1, 1, 1, 1, 1, 1}, at, parts, &type);
    MPI_Type_commit(&type);
    MPI_Pack_external_size("external32", 1, type, &size);
    CHECK(size == sizeof expected);
    CHECK(MPI_Pack_external("external32", &record, 1, type, buffer, 128, &position) == 0);
    CHECK(position == sizeof expected && memcmp(buffer, expected, sizeof expected) == 0);
    memset(&back, 0, sizeof back);
    position = 0;
    CHECK(MPI_Unpack_external("external32", buffer, 128, &position, &back, 1, type) == 0);
    CHECK(position == sizeof expected && back.letter == 'A' && back.small == 0x0102);
    CHECK(back.number == record.number && back.large == record.large && back.real == 1.5f);
    CHECK(back.wide == -2.0 && back.character == 0x4e2d && back.address == -3);
    FAILS(MPI_ERR_TRUNCATE,
          MPI_Pack_external("external32", &record, 4, type, buffer, 128, &position));
    FAILS(MPI_ERR_ARG, MPI_Pack_external("native", &record, 1, type, buffer, 128, &position));
    MPI_Type_free(&type);
    /* A long double of this machine is the format's. */
    long double one = 1;
    position = 0;
    MPI_Pack_external("external32", &one, 1, MPI_LONG_DOUBLE, buffer, 128, &position);
    CHECK(position == 16 && buffer[0] == 0x3f && buffer[1] == 0xff && buffer[2] == 0);
    struct { short value; int index; } pair = {0x0102, 0x03040506};
    position = 0;
    MPI_Pack_external("external32", &pair, 1, MPI_SHORT_INT, buffer, 128, &position);
    CHECK(position == 6 && memcmp(buffer, "\1\2\3\4\5\6", 6) == 0);
}

/* More than is changed at once, with gaps. */
static void long_external(void) {
    enum { COUNT = 50000 };
    int *numbers = malloc(2 * COUNT * sizeof(int)), *back = calloc(2 * COUNT, sizeof(int));
    unsigned char *buffer = malloc(4 * COUNT);
    MPI_Datatype type;
    MPI_Count position = 0;
    for (int n = 0; n < 2 * COUNT; n++) {
        numbers[n] = n * 1000003;
    }
    MPI_Type_vector(COUNT, 1, 2, MPI_INT, &type);
    MPI_Type_commit(&type);
    MPI_Pack_external_c("external32", numbers, 1, type, buffer, 4 * COUNT, &position);
    CHECK(position == 4 * COUNT);
    for (int n = 0; n < COUNT; n++) {
        const unsigned char *b = buffer + 4 * n;
        CHECK((unsigned)numbers[2 * n] == ((unsigned)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]));
    }
    position = 0;
    MPI_Unpack_external_c("external32", buffer, 4 * COUNT, &position, back, 1, type);
    for (int n = 0; n < 2 * COUNT; n++) {
        CHECK(back[n] == (n % 2 == 0 ? numbers[n] : 0));
    }
    MPI_Type_free(&type);
    free(numbers), free(back), free(buffer);
}

int main(int argc, char **argv) {
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    /* For calls that are about no communicator. */
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    positions();
    sent(rank);
    external();
    long_external();
    MPI_Finalize();
    return 0;
}
