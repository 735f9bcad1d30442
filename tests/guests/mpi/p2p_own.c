/* Requests of the program's own, messages in parts, and statuses that the program fills in. */
#include "p2p.h"

static int queried, freed, cancels, told_complete, query_code, free_code;
static int state;

static int query(void *extra, MPI_Status *status) {
    CHECK(extra == &state && status != MPI_STATUS_IGNORE);
    queried++;
    CHECK(freed == queried - 1);
    OK(MPI_Status_set_elements(status, MPI_INT, 5));
    OK(MPI_Status_set_cancelled(status, cancels));
    status->MPI_SOURCE = 3;
    status->MPI_TAG = 4;
    return query_code;
}

static int release(void *extra) {
    CHECK(extra == &state);
    freed++;
    return free_code;
}

static int cancel(void *extra, int complete) {
    cancels++;
    told_complete = complete;
    return MPI_SUCCESS;
}

static MPI_Request start(void) {
    MPI_Request request;
    queried = freed = cancels = 0;
    told_complete = -1;
    OK(MPI_Grequest_start(query, release, cancel, &state, &request));
    CHECK(request != MPI_REQUEST_NULL);
    return request;
}

static void expect(MPI_Status *status) {
    int count, flag;
    OK(MPI_Get_count(status, MPI_INT, &count));
    OK(MPI_Test_cancelled(status, &flag));
    CHECK(count == 5 && !flag == !cancels);
    CHECK(status->MPI_SOURCE == 3 && status->MPI_TAG == 4);
}

static void own(void) {
    MPI_Request request, both[3];
    MPI_Status status, statuses[3];
    int flag, index, count, indices[3], n = 1, got;
    for (int form = 0; form < 8; form++) {
        request = start();
        OK(MPI_Test(&request, &flag, &status));
        CHECK(!flag && queried == 0);
        OK(MPI_Request_get_status(request, &flag, &status));
        CHECK(!flag && queried == 0);
        OK(MPI_Grequest_complete(request));
        CHECK(queried == 0 && freed == 0);
        both[0] = MPI_REQUEST_NULL;
        both[1] = request;
        OK(MPI_Irecv(&got, 1, MPI_INT, 0, 1, MPI_COMM_SELF, &both[2]));
        switch (form) {
        case 0: OK(MPI_Wait(&both[1], &status)); expect(&status); break;
        case 1: OK(MPI_Test(&both[1], &flag, &status)); CHECK(flag); expect(&status); break;
        case 2: OK(MPI_Waitany(3, both, &index, &status)); CHECK(index == 1); expect(&status); break;
        case 3:
            OK(MPI_Testany(3, both, &index, &flag, &status));
            CHECK(flag && index == 1);
            expect(&status);
            break;
        case 4:
            OK(MPI_Waitsome(3, both, &count, indices, statuses));
            CHECK(count == 1 && indices[0] == 1);
            expect(&statuses[0]);
            break;
        case 5:
            OK(MPI_Testsome(3, both, &count, indices, statuses));
            CHECK(count == 1 && indices[0] == 1);
            expect(&statuses[0]);
            break;
        case 6: OK(MPI_Wait(&both[1], MPI_STATUS_IGNORE)); break;
        default: break;
        }
        OK(MPI_Send(&n, 1, MPI_INT, 0, 1, MPI_COMM_SELF));
        OK(MPI_Waitall(3, both, statuses));
        if (form == 7) expect(&statuses[1]);
        CHECK(queried == 1 && freed == 1 && both[1] == MPI_REQUEST_NULL);
    }
    /* Freed before and after it is complete; cancelled before and after. */
    request = both[0] = start();
    OK(MPI_Request_free(&both[0]));
    CHECK(both[0] == MPI_REQUEST_NULL && freed == 0);
    OK(MPI_Grequest_complete(request));
    CHECK(freed == 1 && queried == 0);
    request = start();
    OK(MPI_Grequest_complete(request));
    OK(MPI_Request_free(&request));
    CHECK(freed == 1 && queried == 0);
    request = start();
    OK(MPI_Cancel(&request));
    CHECK(cancels == 1 && told_complete == 0);
    OK(MPI_Grequest_complete(request));
    OK(MPI_Wait(&request, &status));
    expect(&status);
    request = start();
    OK(MPI_Grequest_complete(request));
    OK(MPI_Cancel(&request));
    CHECK(cancels == 1 && told_complete != 0);
    OK(MPI_Wait(&request, &status));
    CHECK(queried == 1 && freed == 1);
    /* Codes of its functions are those of the call. */
    request = start();
    query_code = MPI_ERR_ACCESS;
    OK(MPI_Grequest_complete(request));
    FAILS(MPI_ERR_ACCESS, MPI_Wait(&request, &status));
    query_code = MPI_SUCCESS;
    CHECK(request == MPI_REQUEST_NULL && freed == 1);
}

static void statuses(void) {
    MPI_Status status, copy;
    int count, flag, value;
    MPI_Count large;
    memset(&status, 0x5a, sizeof status);
    OK(MPI_Status_set_source(&status, 11));
    OK(MPI_Status_set_tag(&status, 12));
    OK(MPI_Status_set_error(&status, MPI_ERR_TAG));
    OK(MPI_Status_set_cancelled(&status, 0));
    OK(MPI_Status_set_elements(&status, MPI_DOUBLE, 6));
    copy = status;
    CHECK(copy.MPI_SOURCE == 11 && copy.MPI_TAG == 12 && copy.MPI_ERROR == MPI_ERR_TAG);
    OK(MPI_Status_get_source(&copy, &value));
    CHECK(value == 11);
    OK(MPI_Status_get_tag(&copy, &value));
    CHECK(value == 12);
    OK(MPI_Status_get_error(&copy, &value));
    CHECK(value == MPI_ERR_TAG);
    OK(MPI_Get_count(&copy, MPI_DOUBLE, &count));
    CHECK(count == 6);
    OK(MPI_Get_count(&copy, MPI_BYTE, &count));
    CHECK(count == 48);
    OK(MPI_Test_cancelled(&copy, &flag));
    CHECK(!flag);
    OK(MPI_Status_set_elements_x(&copy, MPI_BYTE, (MPI_Count)5000000000));
    OK(MPI_Get_elements_x(&copy, MPI_BYTE, &large));
    CHECK(large == (MPI_Count)5000000000);
    OK(MPI_Get_count(&copy, MPI_BYTE, &count));
    CHECK(count == MPI_UNDEFINED);
    OK(MPI_Get_count_c(&copy, MPI_BYTE, &large));
    CHECK(large == (MPI_Count)5000000000);
    OK(MPI_Status_set_cancelled(&copy, 1));
    OK(MPI_Test_cancelled(&copy, &flag));
    CHECK(flag && copy.MPI_SOURCE == 11);
    OK(MPI_Get_elements_x(&copy, MPI_BYTE, &large));
    CHECK(large == (MPI_Count)5000000000);
    MPI_Status *none = MPI_STATUS_IGNORE;
    CHECK(none != &status);
}

/* In parts, cut differently on both sides, ready in any order, again and again. */
static void parts(void) {
    enum { INTS = 240 };
    int out[INTS], in[INTS], right = (rank + 1) % size, left = (rank + size - 1) % size;
    int cuts[][2] = {{1, 1}, {8, 8}, {12, 4}, {4, 12}, {240, 1}, {1, 240}};
    for (unsigned c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        int sends = cuts[c][0], receives = cuts[c][1], flag;
        MPI_Request requests[2];
        MPI_Status status[2];
        OK(MPI_Psend_init(out, sends, INTS / sends, MPI_INT, right, (int)c, MPI_COMM_WORLD,
                          MPI_INFO_NULL, &requests[0]));
        OK(MPI_Precv_init(in, receives, INTS / receives, MPI_INT, left, (int)c, MPI_COMM_WORLD,
                          MPI_INFO_NULL, &requests[1]));
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < INTS; i++) out[i] = rank * 1000 + i + round, in[i] = -1;
            OK(MPI_Startall(2, requests));
            if (round == 0) {
                OK(MPI_Pready_range(0, sends - 1, requests[0]));
            } else if (round == 1) {
                int list[INTS];
                for (int i = 0; i < sends; i++) list[i] = sends - 1 - i;
                OK(MPI_Pready_list(sends, list, requests[0]));
            } else {
                for (int i = 0; i < sends; i++) OK(MPI_Pready((i * 7 + 3) % sends, requests[0]));
            }
            if (round == 3) {
                for (int i = receives - 1; i >= 0; i--) {
                    do OK(MPI_Parrived(requests[1], i, &flag));
                    while (!flag);
                    int each = INTS / receives;
                    CHECK(in[i * each] == left * 1000 + i * each + round);
                    CHECK(in[i * each + each - 1] == left * 1000 + i * each + each - 1 + round);
                }
            }
            OK(MPI_Waitall(2, requests, status));
            for (int i = 0; i < INTS; i++) CHECK(in[i] == left * 1000 + i + round);
            CHECK(requests[0] != MPI_REQUEST_NULL && requests[1] != MPI_REQUEST_NULL);
        }
        OK(MPI_Request_free(&requests[0]));
        OK(MPI_Request_free(&requests[1]));
    }
    MPI_Request nobody;
    MPI_Status status;
    OK(MPI_Psend_init(out, 4, 10, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, MPI_INFO_NULL, &nobody));
    OK(MPI_Start(&nobody));
    OK(MPI_Pready_range(0, 3, nobody));
    OK(MPI_Wait(&nobody, &status));
    OK(MPI_Request_free(&nobody));
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    own();
    statuses();
    meet();
    parts();
    meet();
    OK(MPI_Finalize());
    return 0;
}
