/* Messages are looked at, or taken, before they are received; nobody's messages too. */
#include "p2p.h"

static int next_, before;

static void probes(void) {
    MPI_Status status, again;
    int flag = 5, count, in[8], out[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    OK(MPI_Iprobe(MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, &flag, &status));
    CHECK(flag == 0);
    meet();
    OK(MPI_Send(out, 5, MPI_INT, next_, 1, MPI_COMM_WORLD));
    OK(MPI_Probe(before, MPI_ANY_TAG, MPI_COMM_WORLD, &status));
    CHECK(status.MPI_SOURCE == before && status.MPI_TAG == 1);
    OK(MPI_Get_count(&status, MPI_INT, &count));
    CHECK(count == 5);
    OK(MPI_Iprobe(before, 1, MPI_COMM_WORLD, &flag, &again));
    CHECK(flag == 1 && again.MPI_SOURCE == before);
    OK(MPI_Iprobe(before, 2, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE));
    CHECK(flag == 0);
    OK(MPI_Recv(in, 8, MPI_INT, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD, &status));
    OK(MPI_Get_count(&status, MPI_INT, &count));
    CHECK(count == 5 && in[4] == 5);
    meet();
}

/* A message that was taken is not matched by anything else. */
static void matched(int started, int of_any) {
    MPI_Status status;
    MPI_Message first, second;
    MPI_Request request;
    int flag, count, in = 0, from = of_any ? MPI_ANY_SOURCE : before;
    for (int n = 1; n <= 3; n++) {
        OK(MPI_Send(&n, 1, MPI_INT, next_, 1, MPI_COMM_WORLD));
    }
    OK(MPI_Mprobe(from, 1, MPI_COMM_WORLD, &first, &status));
    CHECK(first != MPI_MESSAGE_NULL && status.MPI_SOURCE == before);
    OK(MPI_Get_count(&status, MPI_INT, &count));
    CHECK(count == 1);
    do {
        OK(MPI_Improbe(from, 1, MPI_COMM_WORLD, &flag, &second, &status));
    } while (!flag);
    OK(MPI_Recv(&in, 1, MPI_INT, from, 1, MPI_COMM_WORLD, &status));
    CHECK(in == 3);
    OK(MPI_Improbe(from, 1, MPI_COMM_WORLD, &flag, &second, &status));
    CHECK(flag == 0);
    MPI_Message *messages[2] = {&second, &first};
    for (int i = 0; i < 2; i++) {
        if (started) {
            OK(MPI_Imrecv(&in, 1, MPI_INT, messages[i], &request));
            CHECK(*messages[i] == MPI_MESSAGE_NULL);
            OK(MPI_Wait(&request, &status));
        } else {
            OK(MPI_Mrecv(&in, 1, MPI_INT, messages[i], &status));
        }
        CHECK(*messages[i] == MPI_MESSAGE_NULL && in == 2 - i);
        CHECK(status.MPI_SOURCE == before && status.MPI_TAG == 1);
    }
    meet();
}

/* Long messages and those of synchronous sends are taken too; one may be too long. */
static void long_ones(void) {
    enum { LONG = 70000 };
    static int out[LONG], in[LONG];
    MPI_Request request;
    MPI_Message message;
    MPI_Status status;
    int count;
    out[LONG - 1] = rank;
    OK(MPI_Issend(out, LONG, MPI_INT, next_, 2, MPI_COMM_WORLD, &request));
    OK(MPI_Mprobe(before, 2, MPI_COMM_WORLD, &message, &status));
    OK(MPI_Get_count(&status, MPI_INT, &count));
    CHECK(count == LONG);
    OK(MPI_Mrecv(in, LONG, MPI_INT, &message, MPI_STATUS_IGNORE));
    CHECK(in[LONG - 1] == before);
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    OK(MPI_Send(out, 2, MPI_INT, next_, 2, MPI_COMM_WORLD));
    OK(MPI_Mprobe(before, 2, MPI_COMM_WORLD, &message, &status));
    FAILS(MPI_ERR_TRUNCATE, MPI_Mrecv(in, 1, MPI_INT, &message, &status));
    meet();
}

static void of_nobody(MPI_Status *status) {
    int count = -1;
    OK(MPI_Get_count(status, MPI_INT, &count));
    CHECK(status->MPI_SOURCE == MPI_PROC_NULL && status->MPI_TAG == MPI_ANY_TAG && count == 0);
    memset(status, 0x55, sizeof *status);
}

static void nobody(void) {
    MPI_Status s;
    MPI_Message message;
    MPI_Request r;
    MPI_Comm w = MPI_COMM_WORLD;
    int in = 7, flag = 5, none = MPI_PROC_NULL;
    OK(MPI_Send(&in, 1, MPI_INT, none, 0, w));
    OK(MPI_Ssend(&in, 1, MPI_INT, none, 0, w));
    OK(MPI_Rsend(&in, 1, MPI_INT, none, 0, w));
    OK(MPI_Bsend(&in, 1, MPI_INT, none, 0, w));
    OK(MPI_Isend(&in, 1, MPI_INT, none, 0, w, &r));
    OK(MPI_Wait(&r, MPI_STATUS_IGNORE));
    OK(MPI_Recv(&in, 1, MPI_INT, none, MPI_ANY_TAG, w, &s));
    of_nobody(&s);
    OK(MPI_Irecv(&in, 1, MPI_INT, none, 3, w, &r));
    OK(MPI_Wait(&r, &s));
    of_nobody(&s);
    OK(MPI_Recv_init(&in, 1, MPI_INT, none, 3, w, &r));
    for (int i = 0; i < 3; i++) {
        OK(MPI_Start(&r));
        OK(MPI_Wait(&r, &s));
        of_nobody(&s);
    }
    OK(MPI_Request_free(&r));
    OK(MPI_Probe(none, 3, w, &s));
    of_nobody(&s);
    OK(MPI_Iprobe(none, 3, w, &flag, &s));
    CHECK(flag == 1);
    of_nobody(&s);
    OK(MPI_Mprobe(none, 3, w, &message, &s));
    of_nobody(&s);
    CHECK(message == MPI_MESSAGE_NO_PROC);
    OK(MPI_Mrecv(&in, 1, MPI_INT, &message, &s));
    of_nobody(&s);
    CHECK(message == MPI_MESSAGE_NULL);
    flag = 5;
    OK(MPI_Improbe(none, 3, w, &flag, &message, &s));
    CHECK(flag == 1 && message == MPI_MESSAGE_NO_PROC);
    OK(MPI_Imrecv(&in, 1, MPI_INT, &message, &r));
    CHECK(message == MPI_MESSAGE_NULL);
    OK(MPI_Wait(&r, &s));
    of_nobody(&s);
    OK(MPI_Sendrecv(&in, 1, MPI_INT, none, 0, &in, 1, MPI_INT, none, 0, w, &s));
    of_nobody(&s);
    CHECK(in == 7);
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    next_ = (rank + 1) % size;
    before = (rank + size - 1) % size;
    probes();
    for (int form = 0; form < 4; form++) {
        matched(form % 2, form / 2);
    }
    long_ones();
    nobody();
    OK(MPI_Finalize());
    return 0;
}
