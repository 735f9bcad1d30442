/* Requests of the program's own: their functions are called, once, in the calls that end them. */
#include "p2p.h"

struct work {
    int queries, frees, cancels, complete, code;
};

static int query(void *extra, MPI_Status *status) {
    struct work *work = extra;
    work->queries++;
    CHECK(MPI_Status_set_elements(status, MPI_INT, 42) == MPI_SUCCESS);
    CHECK(MPI_Status_set_cancelled(status, work->cancels > 0) == MPI_SUCCESS);
    status->MPI_SOURCE = 3;
    status->MPI_TAG = 4;
    return work->code;
}

static int release(void *extra) {
    ((struct work *)extra)->frees++;
    return MPI_SUCCESS;
}

static int cancel(void *extra, int complete) {
    ((struct work *)extra)->cancels++;
    ((struct work *)extra)->complete = complete;
    return MPI_SUCCESS;
}

static MPI_Request start(struct work *work) {
    MPI_Request request = MPI_REQUEST_NULL;
    OK(MPI_Grequest_start(query, release, cancel, work, &request));
    CHECK(request != MPI_REQUEST_NULL);
    return request;
}

static void is_told(MPI_Status *status, int cancelled) {
    int count = -1, flag = -1;
    OK(MPI_Get_count(status, MPI_INT, &count));
    OK(MPI_Test_cancelled(status, &flag));
    CHECK(count == 42 && status->MPI_SOURCE == 3 && status->MPI_TAG == 4 && flag == cancelled);
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    struct work work[4];
    MPI_Request requests[4];
    MPI_Status status, statuses[4];
    int flag, in = 0, index, count, indices[4];
    for (int form = 0; form < 6; form++) {
        memset(work, 0, sizeof work);
        MPI_Request request = start(work);
        OK(MPI_Test(&request, &flag, &status));
        CHECK(flag == 0 && work->queries == 0);
        OK(MPI_Request_get_status(request, &flag, &status));
        CHECK(flag == 0 && work->queries == 0);
        OK(MPI_Grequest_complete(request));
        FAILS(MPI_ERR_REQUEST, MPI_Grequest_complete(request));
        CHECK(work->frees == 0);
        OK(MPI_Request_get_status(request, &flag, &status));
        CHECK(flag == 1 && work->queries == 1 && work->frees == 0);
        is_told(&status, 0);
        switch (form) {
        case 0: OK(MPI_Wait(&request, &status)); break;
        case 1: OK(MPI_Test(&request, &flag, &status)); break;
        case 2: OK(MPI_Waitany(1, &request, &index, &status)); break;
        case 3: OK(MPI_Testsome(1, &request, &count, indices, &status)); break;
        case 4: OK(MPI_Waitall(1, &request, &status)); break;
        default: OK(MPI_Wait(&request, MPI_STATUS_IGNORE)); break;
        }
        CHECK(request == MPI_REQUEST_NULL && work->queries == 2 && work->frees == 1);
        if (form < 5) {
            is_told(&status, 0);
        }
    }
    /* Among others, with an error of its own. */
    memset(work, 0, sizeof work);
    int class, code;
    OK(MPI_Add_error_class(&class));
    OK(MPI_Add_error_code(class, &code));
    work[1].code = code;
    requests[0] = start(&work[0]);
    requests[1] = start(&work[1]);
    OK(MPI_Irecv(&in, 1, MPI_INT, rank, 0, MPI_COMM_WORLD, &requests[2]));
    requests[3] = MPI_REQUEST_NULL;
    OK(MPI_Grequest_complete(requests[0]));
    OK(MPI_Grequest_complete(requests[1]));
    OK(MPI_Send(&size, 1, MPI_INT, rank, 0, MPI_COMM_WORLD));
    CHECK(MPI_Waitall(4, requests, statuses) == MPI_ERR_IN_STATUS);
    CHECK(statuses[0].MPI_ERROR == MPI_SUCCESS && statuses[1].MPI_ERROR == code);
    CHECK(statuses[2].MPI_ERROR == MPI_SUCCESS && in == size && work[1].frees == 1);
    work[1].code = code;
    requests[0] = start(&work[1]);
    OK(MPI_Grequest_complete(requests[0]));
    CHECK(MPI_Wait(&requests[0], &status) == code);
    /* Cancelled before and after it is complete. */
    memset(work, 0, sizeof work);
    for (int complete = 0; complete < 2; complete++) {
        MPI_Request request = start(&work[complete]);
        if (complete) {
            OK(MPI_Grequest_complete(request));
        }
        OK(MPI_Cancel(&request));
        CHECK(work[complete].cancels == 1 && work[complete].complete == complete);
        if (!complete) {
            OK(MPI_Grequest_complete(request));
        }
        OK(MPI_Wait(&request, &status));
        is_told(&status, 1);
    }
    /* Freed before and after it is complete. */
    memset(work, 0, sizeof work);
    MPI_Request request = start(&work[0]), kept = request;
    OK(MPI_Request_free(&request));
    CHECK(request == MPI_REQUEST_NULL && work[0].frees == 0);
    OK(MPI_Grequest_complete(kept));
    CHECK(work[0].frees == 1 && work[0].queries == 0);
    FAILS(MPI_ERR_REQUEST, MPI_Grequest_complete(kept));
    request = start(&work[1]);
    OK(MPI_Grequest_complete(request));
    OK(MPI_Request_free(&request));
    CHECK(work[1].frees == 1 && request == MPI_REQUEST_NULL);
    FAILS(MPI_ERR_ARG, MPI_Grequest_start(NULL, release, cancel, NULL, &request));
    OK(MPI_Finalize());
    return 0;
}
