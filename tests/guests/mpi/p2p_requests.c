/* Waits and tests in all forms: null, idle, complete and failed requests. */
#include "p2p.h"

#define MANY 40

static MPI_Status statuses[MANY];

static void scribble(void) {
    memset(statuses, 0x55, sizeof statuses);
}

/* Null requests, idle ones, or none at all. */
static void nothing_to_wait_for(MPI_Request idle) {
    MPI_Request idles[3] = {MPI_REQUEST_NULL, idle, MPI_REQUEST_NULL};
    int index, flag, count, indices[3];
    for (int n = 0; n <= 3; n += 3) {
        index = flag = count = 5;
        scribble();
        OK(MPI_Waitany(n, idles, &index, statuses));
        CHECK(index == MPI_UNDEFINED && is_empty(statuses));
        scribble();
        OK(MPI_Testany(n, idles, &index, &flag, statuses));
        CHECK(index == MPI_UNDEFINED && flag == 1 && is_empty(statuses));
        OK(MPI_Waitsome(n, idles, &count, indices, statuses));
        CHECK(count == MPI_UNDEFINED);
        count = 5;
        OK(MPI_Testsome(n, idles, &count, indices, statuses));
        CHECK(count == MPI_UNDEFINED);
        scribble();
        flag = 5;
        OK(MPI_Testall(n, idles, &flag, statuses));
        CHECK(flag == 1 && (n == 0 || (is_empty(statuses) && is_empty(&statuses[2]))));
        scribble();
        OK(MPI_Waitall(n, idles, statuses));
        CHECK(n == 0 || (is_empty(statuses) && is_empty(&statuses[1])));
        flag = index = count = 5;
        OK(MPI_Request_get_status_all(n, idles, &flag, statuses));
        CHECK(flag == 1);
        flag = 5;
        OK(MPI_Request_get_status_any(n, idles, &index, &flag, statuses));
        CHECK(flag == 1 && index == MPI_UNDEFINED);
        OK(MPI_Request_get_status_some(n, idles, &count, indices, statuses));
        CHECK(count == MPI_UNDEFINED);
    }
    for (int n = 0; n < 2; n++) {
        flag = 5;
        scribble();
        OK(MPI_Wait(&idles[n], statuses));
        CHECK(is_empty(statuses));
        scribble();
        OK(MPI_Test(&idles[n], &flag, statuses));
        CHECK(flag == 1 && is_empty(statuses));
        scribble();
        OK(MPI_Request_get_status(idles[n], &flag, statuses));
        CHECK(flag == 1 && is_empty(statuses));
    }
    CHECK(idles[1] == idle);
}

static int in[MANY], out[MANY];
static MPI_Request requests[MANY];

/* Each rank sends to itself, later, in an order of its own. */
static void post(void) {
    for (int n = 0; n < MANY; n++) {
        in[n] = -1;
        OK(MPI_Irecv(&in[n], 1, MPI_INT, rank, n, MPI_COMM_WORLD, &requests[n]));
    }
}

static void give(int n) {
    out[n] = n * 7;
    OK(MPI_Send(&out[n], 1, MPI_INT, rank, n, MPI_COMM_WORLD));
}

static void one_by_one(int any) {
    post();
    for (int i = 0; i < MANY; i++) {
        int n = (i * 17 + 3) % MANY, index = -5, flag = -5;
        MPI_Status status;
        OK(MPI_Testany(MANY, requests, &index, &flag, &status));
        CHECK(flag == 0 && index == MPI_UNDEFINED);
        give(n);
        OK(MPI_Request_get_status(requests[n], &flag, &status));
        CHECK(flag == 1 && status.MPI_TAG == n && requests[n] != MPI_REQUEST_NULL);
        OK(MPI_Request_get_status_any(MANY, requests, &index, &flag, &status));
        CHECK(flag == 1 && index == n && status.MPI_TAG == n);
        if (any) {
            OK(MPI_Waitany(MANY, requests, &index, &status));
        } else {
            OK(MPI_Testany(MANY, requests, &index, &flag, &status));
            CHECK(flag == 1);
        }
        CHECK(index == n && requests[n] == MPI_REQUEST_NULL && in[n] == n * 7);
        CHECK(status.MPI_SOURCE == rank && status.MPI_TAG == n);
    }
}

static void some_at_a_time(int wait) {
    int indices[MANY], count, given = 0, taken = 0, flag;
    post();
    OK(MPI_Testsome(MANY, requests, &count, indices, statuses));
    CHECK(count == 0);
    OK(MPI_Request_get_status_some(MANY, requests, &count, indices, statuses));
    CHECK(count == 0);
    OK(MPI_Testall(MANY, requests, &flag, statuses));
    CHECK(flag == 0);
    while (taken < MANY) {
        for (int n = 0; n < 3 && given < MANY; n++) {
            give(given++);
        }
        OK(MPI_Request_get_status_some(MANY, requests, &count, indices, statuses));
        CHECK(count == given - taken);
        count = -1;
        if (wait) {
            OK(MPI_Waitsome(MANY, requests, &count, indices, statuses));
        } else {
            OK(MPI_Testsome(MANY, requests, &count, indices, statuses));
        }
        CHECK(count == given - taken);
        for (int i = 0; i < count; i++) {
            CHECK(indices[i] == taken + i && requests[indices[i]] == MPI_REQUEST_NULL);
            CHECK(statuses[i].MPI_TAG == indices[i] && in[indices[i]] == indices[i] * 7);
        }
        taken += count;
    }
}

static void all_at_once(void) {
    int flag = -1;
    for (int form = 0; form < 4; form++) {
        post();
        for (int n = MANY - 1; n >= 0; n--) {
            OK(MPI_Testall(MANY, requests, &flag, MPI_STATUSES_IGNORE));
            CHECK(flag == 0);
            OK(MPI_Request_get_status_all(MANY, requests, &flag, MPI_STATUSES_IGNORE));
            CHECK(flag == 0);
            give(n);
        }
        scribble();
        OK(MPI_Request_get_status_all(MANY, requests, &flag, statuses));
        CHECK(flag == 1 && statuses[3].MPI_TAG == 3 && statuses[3].MPI_ERROR == 0x55555555);
        MPI_Status *into = form % 2 ? MPI_STATUSES_IGNORE : statuses;
        if (form < 2) {
            OK(MPI_Waitall(MANY, requests, into));
        } else {
            OK(MPI_Testall(MANY, requests, &flag, into));
            CHECK(flag == 1);
        }
        for (int n = 0; n < MANY; n++) {
            CHECK(requests[n] == MPI_REQUEST_NULL && in[n] == n * 7);
            CHECK(into == MPI_STATUSES_IGNORE || statuses[n].MPI_TAG == n);
        }
    }
}

/* A message that is too long is an error of its request alone. */
static void failed_ones(void) {
    int two[2] = {1, 2}, one, other, index, count, indices[3], flag;
    MPI_Request failing[3];
    for (int form = 0; form < 6; form++) {
        OK(MPI_Irecv(&one, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &failing[0]));
        failing[1] = MPI_REQUEST_NULL;
        OK(MPI_Irecv(&other, 1, MPI_INT, rank, 2, MPI_COMM_WORLD, &failing[2]));
        OK(MPI_Send(two, 1, MPI_INT, rank, 2, MPI_COMM_WORLD));
        OK(MPI_Send(two, 2, MPI_INT, rank, 1, MPI_COMM_WORLD));
        scribble();
        switch (form) {
        case 0: FAILS(MPI_ERR_IN_STATUS, MPI_Waitall(3, failing, statuses)); break;
        case 1: FAILS(MPI_ERR_IN_STATUS, MPI_Testall(3, failing, &flag, statuses)); break;
        case 2:
            FAILS(MPI_ERR_IN_STATUS, MPI_Waitsome(3, failing, &count, indices, statuses));
            CHECK(count == 2 && indices[0] == 0 && indices[1] == 2);
            statuses[2] = statuses[1];
            break;
        case 3:
            FAILS(MPI_ERR_IN_STATUS, MPI_Testsome(3, failing, &count, indices, statuses));
            CHECK(count == 2 && indices[0] == 0 && indices[1] == 2);
            statuses[2] = statuses[1];
            break;
        case 4:
            FAILS(MPI_ERR_TRUNCATE, MPI_Waitany(3, failing, &index, statuses));
            CHECK(index == 0 && statuses[0].MPI_ERROR == 0x55555555);
            OK(MPI_Wait(&failing[2], MPI_STATUS_IGNORE));
            break;
        default:
            FAILS(MPI_ERR_TRUNCATE, MPI_Test(&failing[0], &flag, statuses));
            OK(MPI_Wait(&failing[2], MPI_STATUS_IGNORE));
            break;
        }
        CHECK(failing[0] == MPI_REQUEST_NULL && failing[2] == MPI_REQUEST_NULL);
        CHECK(one == 1 && other == 1);
        if (form < 4) {
            int class;
            MPI_Error_class(statuses[0].MPI_ERROR, &class);
            CHECK(class == MPI_ERR_TRUNCATE && statuses[2].MPI_ERROR == MPI_SUCCESS);
            CHECK(statuses[2].MPI_TAG == 2 && statuses[0].MPI_TAG == 1);
        }
    }
    FAILS(MPI_ERR_TRUNCATE, (MPI_Send(two, 2, MPI_INT, rank, 1, MPI_COMM_WORLD),
                             MPI_Recv(&one, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, statuses)));
}

/* A request that is freed goes on. */
static void freed(void) {
    enum { LONG = 60000 };
    static int to_send[LONG], received[LONG];
    MPI_Request request;
    for (int i = 0; i < LONG; i++) {
        to_send[i] = rank + i;
    }
    OK(MPI_Isend(to_send, LONG, MPI_INT, (rank + 1) % size, 4, MPI_COMM_WORLD, &request));
    OK(MPI_Request_free(&request));
    CHECK(request == MPI_REQUEST_NULL);
    int from = (rank + size - 1) % size;
    OK(MPI_Recv(received, LONG, MPI_INT, from, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    for (int i = 0; i < LONG; i++) {
        CHECK(received[i] == from + i);
    }
    FAILS(MPI_ERR_REQUEST, MPI_Request_free(&request));
}

int main(int argc, char **argv) {
    MPI_Request idle;
    int word = 0;
    begin(&argc, &argv);
    OK(MPI_Recv_init(&word, 1, MPI_INT, rank, 99, MPI_COMM_WORLD, &idle));
    nothing_to_wait_for(MPI_REQUEST_NULL);
    nothing_to_wait_for(idle);
    OK(MPI_Request_free(&idle));
    one_by_one(0);
    one_by_one(1);
    some_at_a_time(0);
    some_at_a_time(1);
    all_at_once();
    failed_ones();
    freed();
    OK(MPI_Finalize());
    return 0;
}
