/* Buffered sends: room, its end, buffers of communicators and sessions, and one that is not ours. */
#include "p2p.h"

#define INTS 1000
#define ONE ((int)(INTS * sizeof(int) + MPI_BSEND_OVERHEAD))

static int out[INTS], in[INTS];

static void take(int tag, int first) {
    OK(MPI_Recv(in, INTS, MPI_INT, rank, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    CHECK(in[0] == first && in[INTS - 1] == INTS - 1);
}

static int put(int tag) {
    out[0] = tag;
    int code = MPI_Bsend(out, INTS, MPI_INT, rank, tag, MPI_COMM_WORLD);
    out[0] = -1;
    return code;
}

static void of_the_process(void) {
    static char buffer[3 * ONE];
    void *at = NULL;
    int len = 0;
    MPI_Count long_len = 0;
    MPI_Request flush;
    FAILS(MPI_ERR_BUFFER, put(0));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_detach(&at, &len));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_flush());
    FAILS(MPI_ERR_ARG, MPI_Buffer_attach(buffer, -1));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_attach(NULL, 100));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_attach((void *)0xffffff00, 1 << 20));
    OK(MPI_Buffer_attach(buffer, sizeof buffer));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_attach(buffer, sizeof buffer));
    OK(MPI_Buffer_flush());
    FAILS(MPI_ERR_BUFFER, MPI_Bsend(buffer, 3 * ONE, MPI_BYTE, rank, 0, MPI_COMM_WORLD));
    for (int round = 0; round < 5; round++) {
        for (int n = 0; n < 3; n++) {
            OK(put(n));
        }
        OK(MPI_Buffer_iflush(&flush));
        OK(MPI_Wait(&flush, MPI_STATUS_IGNORE));
        take(1, 1);
        take(0, 0);
        take(2, 2);
    }
    OK(MPI_Buffer_detach_c(&at, &long_len));
    CHECK(at == buffer && long_len == sizeof buffer);
    FAILS(MPI_ERR_BUFFER, put(0));
}

/* What the receiver's side has no room for stays in the buffer. */
static void long_ones(void) {
    enum { LONG = 5 << 20 };
    char *long_one = malloc(LONG), *buffer = malloc(LONG + MPI_BSEND_OVERHEAD);
    MPI_Request flush;
    void *at;
    int len, flag;
    CHECK(long_one && buffer);
    OK(MPI_Buffer_attach(buffer, LONG + MPI_BSEND_OVERHEAD));
    for (int n = 0; n < 2; n++) {
        memset(long_one, n, LONG);
        OK(MPI_Bsend(long_one, LONG, MPI_BYTE, rank, n, MPI_COMM_WORLD));
    }
    FAILS(MPI_ERR_BUFFER, MPI_Bsend(long_one, LONG, MPI_BYTE, rank, 2, MPI_COMM_WORLD));
    OK(MPI_Buffer_iflush(&flush));
    OK(MPI_Test(&flush, &flag, MPI_STATUS_IGNORE));
    CHECK(flag == 0);
    for (int n = 1; n >= 0; n--) {
        OK(MPI_Recv(long_one, LONG, MPI_BYTE, rank, n, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
        CHECK(long_one[0] == n && long_one[LONG - 1] == n);
    }
    OK(MPI_Wait(&flush, MPI_STATUS_IGNORE));
    OK(MPI_Buffer_detach(&at, &len));
    CHECK(at == buffer && len == LONG + (int)MPI_BSEND_OVERHEAD);
    free(long_one);
    free(buffer);
}

static void of_a_communicator(void) {
    static char buffer[ONE], other[2 * ONE];
    MPI_Comm comm = MPI_COMM_WORLD;
    void *at;
    int len;
    MPI_Request flush;
    OK(MPI_Comm_attach_buffer(comm, buffer, sizeof buffer));
    FAILS(MPI_ERR_BUFFER, MPI_Buffer_attach(buffer + 100, 100));
    OK(MPI_Buffer_attach(other, sizeof other));
    OK(put(1));
    FAILS(MPI_ERR_BUFFER, MPI_Bsend(other, 2 * ONE, MPI_BYTE, rank, 2, MPI_COMM_WORLD));
    OK(MPI_Bsend(out, INTS, MPI_INT, 0, 2, MPI_COMM_SELF));
    OK(MPI_Recv(in, INTS, MPI_INT, 0, 2, MPI_COMM_SELF, MPI_STATUS_IGNORE));
    OK(MPI_Comm_iflush_buffer(comm, &flush));
    take(1, 1);
    OK(MPI_Wait(&flush, MPI_STATUS_IGNORE));
    OK(MPI_Comm_flush_buffer(comm));
    OK(MPI_Comm_detach_buffer(comm, &at, &len));
    CHECK(at == buffer && len == sizeof buffer);
    FAILS(MPI_ERR_COMM, MPI_Comm_flush_buffer(MPI_COMM_NULL));
    OK(MPI_Buffer_detach(&at, &len));
    CHECK(at == other);
}

/* A communicator that is freed needs its buffer no more. */
static void of_a_freed_one(void) {
    static char buffer[ONE];
    MPI_Comm comm;
    for (int i = 0; i < 3; i++) {
        OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
        OK(MPI_Comm_attach_buffer(comm, buffer, sizeof buffer));
        OK(MPI_Comm_free(&comm));
    }
}

static void automatic(void) {
    void *at = NULL;
    int len = -1;
    OK(MPI_Buffer_attach(MPI_BUFFER_AUTOMATIC, 0));
    for (int n = 0; n < 50; n++) {
        OK(put(n));
    }
    for (int n = 49; n >= 0; n--) {
        take(n, n);
    }
    OK(MPI_Buffer_detach(&at, &len));
    CHECK(at == MPI_BUFFER_AUTOMATIC && len == 0);
    /* The size that is given means nothing. */
    OK(MPI_Buffer_attach(MPI_BUFFER_AUTOMATIC, 100));
    OK(MPI_Buffer_detach(&at, &len));
    CHECK(at == MPI_BUFFER_AUTOMATIC && len == 0);
}

static void of_a_session(void) {
    static char buffer[ONE];
    MPI_Session session;
    MPI_Request flush;
    void *at;
    int len;
    OK(MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session));
    OK(MPI_Session_attach_buffer(session, buffer, sizeof buffer));
    OK(MPI_Session_flush_buffer(session));
    OK(MPI_Session_iflush_buffer(session, &flush));
    OK(MPI_Wait(&flush, MPI_STATUS_IGNORE));
    OK(MPI_Session_detach_buffer(session, &at, &len));
    CHECK(at == buffer && len == sizeof buffer);
    OK(MPI_Session_finalize(&session));
    FAILS(MPI_ERR_SESSION, MPI_Session_flush_buffer(MPI_SESSION_NULL));
}

/* A detach waits for what is in the buffer; so does the end of the program. */
static void detach_waits(void) {
    static char buffer[2 * ONE];
    int to = (rank + 1) % size, from = (rank + size - 1) % size, len;
    void *at;
    for (int end = 0; end < 2; end++) {
        OK(MPI_Buffer_attach(buffer, sizeof buffer));
        out[0] = rank;
        if (rank % 2) {
            OK(MPI_Recv(in, INTS, MPI_INT, from, end, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
        }
        OK(MPI_Bsend(out, INTS, MPI_INT, to, end, MPI_COMM_WORLD));
        if (rank % 2 == 0) {
            OK(MPI_Recv(in, INTS, MPI_INT, from, end, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
        }
        CHECK(in[0] == from);
        if (!end) {
            OK(MPI_Buffer_detach(&at, &len));
        }
    }
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    for (int i = 0; i < INTS; i++) {
        out[i] = i;
    }
    of_the_process();
    long_ones();
    of_a_communicator();
    of_a_freed_one();
    automatic();
    of_a_session();
    meet();
    detach_waits();
    OK(MPI_Finalize());
    return 0;
}
