/* Modes, probes and order, with several senders; buffered sends; long and empty messages. */
#include "p2p.h"

/* Apart from that of meet(), since some receives take anything. */
static MPI_Comm apart;

static int right(void) { return (rank + 1) % size; }
static int left(void) { return (rank + size - 1) % size; }

/* All send to one who takes from any: of each sender in order, with the right status. */
static void from_any(void) {
    enum { EACH = 100 };
    for (int root = 0; root < size && root < 3; root++) {
        if (rank != root) {
            for (int i = 0; i < EACH; i++) {
                int message[2] = {rank, i};
                int length = 1 + i % 2;
                if (i % 3 == 0) OK(MPI_Ssend(message, length, MPI_INT, root, i % 5, apart));
                else OK(MPI_Send(message, length, MPI_INT, root, i % 5, apart));
            }
            continue;
        }
        int next[64] = {0};
        for (int i = 0; i < EACH * (size - 1); i++) {
            int message[2] = {-1, -1}, count, flag;
            MPI_Status probed, status;
            MPI_Message taken;
            switch (i % 4) {
            case 0:
                OK(MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, apart, &probed));
                OK(MPI_Recv(message, 2, MPI_INT, probed.MPI_SOURCE, probed.MPI_TAG, apart,
                            &status));
                break;
            case 1:
                do OK(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, apart, &flag, &probed));
                while (!flag);
                OK(MPI_Recv(message, 2, MPI_INT, probed.MPI_SOURCE, probed.MPI_TAG, apart,
                            &status));
                break;
            case 2:
                OK(MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, apart, &taken, &probed));
                OK(MPI_Mrecv(message, 2, MPI_INT, &taken, &status));
                break;
            default:
                OK(MPI_Recv(message, 2, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, apart,
                            &status));
                probed = status;
            }
            int from = status.MPI_SOURCE, at = next[from]++;
            OK(MPI_Get_count(&status, MPI_INT, &count));
            CHECK(from == message[0] && from == probed.MPI_SOURCE);
            CHECK(status.MPI_TAG == at % 5 && status.MPI_TAG == probed.MPI_TAG);
            CHECK(count == 1 + at % 2 && (count == 1 || message[1] == at));
        }
        for (int i = 0; i < size; i++) CHECK(next[i] == (i == root ? 0 : EACH));
    }
    meet();
}

/* Empty messages are messages: they match, keep their order and can be waited for. */
static void of_nothing(void) {
    MPI_Request requests[10];
    MPI_Status status;
    MPI_Datatype none;
    int count, n;
    for (int i = 0; i < 10; i++) {
        OK(MPI_Issend(NULL, 0, i % 2 ? MPI_INT : MPI_BYTE, right(), i, apart, &requests[i]));
    }
    for (int i = 0; i < 10; i++) {
        if (i % 3 == 0) OK(MPI_Recv(NULL, 0, MPI_INT, left(), i, apart, &status));
        else OK(MPI_Recv(&n, 1, MPI_INT, MPI_ANY_SOURCE, i, apart, &status));
        OK(MPI_Get_count(&status, MPI_INT, &count));
        CHECK(count == 0 && status.MPI_SOURCE == left() && status.MPI_TAG == i);
    }
    OK(MPI_Waitall(10, requests, MPI_STATUSES_IGNORE));
    OK(MPI_Type_contiguous(0, MPI_INT, &none));
    OK(MPI_Type_commit(&none));
    OK(MPI_Isend(&n, 5, none, right(), 0, apart, &requests[0]));
    OK(MPI_Recv(&n, 7, none, left(), 0, apart, &status));
    OK(MPI_Get_count(&status, MPI_BYTE, &count));
    CHECK(count == 0);
    OK(MPI_Wait(&requests[0], MPI_STATUS_IGNORE));
    OK(MPI_Type_free(&none));
}

/* Long messages both ways at once, in pieces that are received apart. */
static void long_ones(void) {
    size_t most = 6 << 20;
    unsigned char *out = malloc(most), *in = malloc(most);
    CHECK(out && in);
    for (size_t i = 0; i < most; i++) out[i] = (unsigned char)(i * 7 + rank);
    size_t lengths[] = {1, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1, most};
    for (unsigned l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int length = (int)lengths[l], count;
        MPI_Request request;
        MPI_Status status;
        for (int mode = 0; mode < 3; mode++) {
            memset(in, 0, length);
            if (mode == 0) OK(MPI_Isend(out, length, MPI_BYTE, right(), l, apart, &request));
            if (mode == 1) OK(MPI_Issend(out, length, MPI_BYTE, right(), l, apart, &request));
            if (mode == 2) {
                OK(MPI_Irecv(in, length, MPI_BYTE, left(), l, apart, &request));
                meet();
                OK(MPI_Rsend(out, length, MPI_BYTE, right(), l, apart));
                OK(MPI_Wait(&request, &status));
            } else {
                OK(MPI_Recv(in, (int)most, MPI_BYTE, left(), l, apart, &status));
                OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
            }
            OK(MPI_Get_count(&status, MPI_BYTE, &count));
            CHECK(count == length);
            for (int i = 0; i < length; i++) {
                if (in[i] != (unsigned char)(i * 7 + left())) {
                    CHECK(!"a byte is another one");
                    break;
                }
            }
            meet();
        }
    }
    free(out);
    free(in);
}

/* Buffers: of the process, of a communicator; sized as the standard says; detached and used again. */
static void buffered(void) {
    int pack, total, detached_size, n[10], got[10];
    void *detached;
    MPI_Request request;
    OK(MPI_Pack_size(10, MPI_INT, apart, &pack));
    total = 8 * (pack + MPI_BSEND_OVERHEAD);
    char *buffer = malloc(total), *other = malloc(total);
    for (int round = 0; round < 5; round++) {
        memset(buffer, 0x55, total);
        OK(MPI_Buffer_attach(buffer, total));
        for (int i = 0; i < 8; i++) {
            for (int k = 0; k < 10; k++) n[k] = rank * 100 + i * 10 + k;
            if (i % 2) {
                OK(MPI_Bsend(n, 10, MPI_INT, right(), i, apart));
            } else {
                OK(MPI_Ibsend(n, 10, MPI_INT, right(), i, apart, &request));
                OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
            }
            memset(n, 0, sizeof n);
        }
        if (round % 2) {
            /* Short messages leave also while nobody receives them. */
            OK(MPI_Buffer_flush());
            OK(MPI_Buffer_detach(&detached, &detached_size));
            CHECK(detached == buffer && detached_size == total);
            memset(buffer, 0xee, total);
        }
        for (int i = 7; i >= 0; i--) {
            OK(MPI_Recv(got, 10, MPI_INT, left(), i, apart, MPI_STATUS_IGNORE));
            for (int k = 0; k < 10; k++) CHECK(got[k] == left() * 100 + i * 10 + k);
        }
        if (round % 2 == 0) {
            OK(MPI_Buffer_detach(&detached, &detached_size));
            CHECK(detached == buffer && detached_size == total);
        }
    }
    /* Persistent, from the buffer of a communicator, beside that of the process. */
    MPI_Comm comm;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    OK(MPI_Comm_attach_buffer(comm, other, total));
    OK(MPI_Buffer_attach(buffer, total));
    OK(MPI_Bsend_init(n, 10, MPI_INT, right(), 1, comm, &request));
    for (int i = 0; i < 30; i++) {
        for (int k = 0; k < 10; k++) n[k] = rank + i + k;
        OK(MPI_Start(&request));
        OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
        memset(n, 0, sizeof n);
        OK(MPI_Bsend(&i, 1, MPI_INT, right(), 2, apart));
        OK(MPI_Recv(got, 10, MPI_INT, left(), 1, comm, MPI_STATUS_IGNORE));
        CHECK(got[0] == left() + i && got[9] == left() + i + 9);
        OK(MPI_Recv(got, 1, MPI_INT, left(), 2, apart, MPI_STATUS_IGNORE));
        CHECK(got[0] == i);
        OK(MPI_Comm_flush_buffer(comm));
        OK(MPI_Buffer_flush());
        if (i % 10 == 0) meet();
    }
    OK(MPI_Request_free(&request));
    MPI_Count size_c;
    OK(MPI_Comm_detach_buffer_c(comm, &detached, &size_c));
    CHECK(detached == other && size_c == total);
    OK(MPI_Buffer_detach(&detached, &detached_size));
    CHECK(detached == buffer);
    /* As much as is needed. */
    OK(MPI_Comm_attach_buffer(comm, MPI_BUFFER_AUTOMATIC, 0));
    for (int i = 0; i < 100; i++) OK(MPI_Bsend(&i, 1, MPI_INT, right(), 3, comm));
    OK(MPI_Comm_iflush_buffer(comm, &request));
    for (int i = 0; i < 100; i++) {
        OK(MPI_Recv(got, 1, MPI_INT, left(), 3, comm, MPI_STATUS_IGNORE));
        CHECK(got[0] == i);
    }
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    OK(MPI_Comm_detach_buffer(comm, &detached, &detached_size));
    CHECK(detached == MPI_BUFFER_AUTOMATIC);
    OK(MPI_Comm_free(&comm));
    free(buffer);
    free(other);
}

/* A message that was probed and taken is apart from all others, also of another length. */
static void taken(void) {
    MPI_Message messages[10];
    MPI_Request requests[10];
    MPI_Status status;
    int out[10], in[10], count, flag;
    for (int i = 0; i < 10; i++) {
        out[i] = rank * 10 + i;
        OK(MPI_Isend(out, i + 1, MPI_INT, right(), 6, apart, &requests[i]));
    }
    for (int i = 0; i < 10; i++) {
        OK(MPI_Mprobe(MPI_ANY_SOURCE, 6, apart, &messages[i], &status));
        OK(MPI_Get_count(&status, MPI_INT, &count));
        CHECK(count == i + 1 && status.MPI_SOURCE == left());
    }
    OK(MPI_Iprobe(MPI_ANY_SOURCE, 6, apart, &flag, &status));
    CHECK(!flag);
    for (int i = 9; i >= 0; i--) {
        OK(MPI_Mrecv(in, 10, MPI_INT, &messages[i], &status));
        OK(MPI_Get_count(&status, MPI_INT, &count));
        CHECK(count == i + 1 && in[i] == left() * 10 + i && status.MPI_TAG == 6);
        CHECK(messages[i] == MPI_MESSAGE_NULL);
    }
    OK(MPI_Waitall(10, requests, MPI_STATUSES_IGNORE));
}

/* A synchronous send is not complete before its receive has begun. */
static void synchronous(void) {
    MPI_Request request;
    int one = 1, got, flag;
    OK(MPI_Issend(&one, 1, MPI_INT, right(), 8, apart, &request));
    for (int i = 0; i < 50; i++) {
        OK(MPI_Test(&request, &flag, MPI_STATUS_IGNORE));
        CHECK(!flag);
        OK(MPI_Iprobe(left(), 8, apart, &flag, MPI_STATUS_IGNORE));
    }
    meet();
    OK(MPI_Recv(&got, 1, MPI_INT, left(), 8, apart, MPI_STATUS_IGNORE));
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    meet();
}

/* Several receives for one message: the one posted first takes it, whatever its wild cards. */
static void posted_order(void) {
    MPI_Request requests[6];
    MPI_Status status;
    int in[6], out;
    struct { int source, tag; } all[6] = {{MPI_ANY_SOURCE, MPI_ANY_TAG}, {left(), 4},
        {MPI_ANY_SOURCE, 4}, {left(), MPI_ANY_TAG}, {left(), 4}, {MPI_ANY_SOURCE, MPI_ANY_TAG}};
    MPI_Comm comm;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    for (int i = 0; i < 6; i++) {
        in[i] = -1;
        OK(MPI_Irecv(&in[i], 1, MPI_INT, all[i].source, all[i].tag, comm, &requests[i]));
    }
    meet();
    for (int i = 0; i < 6; i++) {
        out = rank * 10 + i;
        OK(MPI_Send(&out, 1, MPI_INT, right(), 4, comm));
    }
    for (int i = 0; i < 6; i++) {
        OK(MPI_Wait(&requests[i], &status));
        CHECK(in[i] == left() * 10 + i && status.MPI_TAG == 4 && status.MPI_SOURCE == left());
    }
    OK(MPI_Comm_free(&comm));
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &apart));
    from_any();
    of_nothing();
    meet();
    long_ones();
    buffered();
    meet();
    taken();
    meet();
    synchronous();
    posted_order();
    meet();
    OK(MPI_Comm_free(&apart));
    OK(MPI_Finalize());
    return 0;
}
