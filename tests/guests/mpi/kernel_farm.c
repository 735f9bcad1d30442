/* A farm: rank 0 hands out tasks of a struct type to whoever asks, then hears from all in any
   order. */
#include "check.h"

#include <math.h>
#include <stddef.h>

enum { WORK = 1, STOP, RESULT, READY, LAST };

typedef struct {
    int number;
    double from, to;
    char note[12];
} Task;

static int rank, size;
static const int tasks = 300;
static MPI_Datatype task_type;

static double f(double x) { return 4 / (1 + x * x); }

static double solve(const Task *task)
{
    char note[12];
    snprintf(note, sizeof note, "task%d", task->number);
    CHECK(strcmp(note, task->note) == 0);
    double middle = (task->from + task->to) / 2;
    return (task->to - task->from) / 6 * (f(task->from) + 4 * f(middle) + f(task->to));
}

static Task make(int number)
{
    Task task = {number, (double)number / tasks, (double)(number + 1) / tasks, ""};
    snprintf(task.note, sizeof task.note, "task%d", number);
    return task;
}

static double lead(void)
{
    double sum = 0, results[5];
    int next = 0, done = 0;
    for (int left = size - 1; left > 0;) {
        MPI_Status status;
        int count;
        MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_DOUBLE, &count);
        CHECK(count == 0 ? status.MPI_TAG == READY : status.MPI_TAG == RESULT && count <= 5);
        MPI_Recv(results, count, MPI_DOUBLE, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
        for (int i = 0; i < count; i++)
            sum += results[i];
        done += count;
        Task batch[5];
        int many = 0;
        while (many < 1 + status.MPI_SOURCE % 5 && next < tasks)
            batch[many++] = make(next++);
        left -= many == 0;
        MPI_Send(batch, many, task_type, status.MPI_SOURCE, many > 0 ? WORK : STOP, MPI_COMM_WORLD);
    }
    CHECK(done == tasks);
    return sum;
}

static void follow(void)
{
    MPI_Send(NULL, 0, MPI_DOUBLE, 0, READY, MPI_COMM_WORLD);
    for (;;) {
        MPI_Message message;
        MPI_Status status;
        Task batch[5];
        double results[5];
        int count;
        MPI_Mprobe(0, MPI_ANY_TAG, MPI_COMM_WORLD, &message, &status);
        MPI_Get_count(&status, task_type, &count);
        MPI_Mrecv(batch, count, task_type, &message, MPI_STATUS_IGNORE);
        if (status.MPI_TAG == STOP)
            return;
        for (int i = 0; i < count; i++)
            results[i] = solve(&batch[i]);
        MPI_Send(results, count, MPI_DOUBLE, 0, RESULT, MPI_COMM_WORLD);
    }
}

/* One message of each, by waitany and waitsome in turn. */
static void hear_from_all(MPI_Comm comm)
{
    MPI_Request requests[64];
    MPI_Status statuses[64];
    int values[64], indices[64], left = size - 1, count, index;
    for (int i = 0; i < left; i++)
        MPI_Irecv(&values[i], 1, MPI_INT, i + 1, LAST, comm, &requests[i]);
    for (int turn = 0; left > 0; turn++) {
        if (turn % 2 == 0) {
            MPI_Waitany(size - 1, requests, &indices[0], &statuses[0]);
            count = 1;
        } else {
            MPI_Waitsome(size - 1, requests, &count, indices, statuses);
        }
        for (int i = 0; i < count; i++) {
            int from = indices[i] + 1;
            CHECK(statuses[i].MPI_SOURCE == from && values[indices[i]] == 7 * from);
        }
        left -= count;
    }
    MPI_Waitany(size - 1, requests, &index, statuses);
    CHECK(index == MPI_UNDEFINED);
}

static void make_type(void)
{
    int lengths[4] = {1, 1, 1, 12};
    MPI_Aint places[4] = {offsetof(Task, number), offsetof(Task, from), offsetof(Task, to),
                          offsetof(Task, note)};
    MPI_Datatype types[4] = {MPI_INT, MPI_DOUBLE, MPI_DOUBLE, MPI_CHAR}, bare;
    MPI_Type_create_struct(4, lengths, places, types, &bare);
    MPI_Type_create_resized(bare, 0, sizeof(Task), &task_type);
    MPI_Type_commit(&task_type);
    MPI_Type_free(&bare);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(size <= 64);
    make_type();
    MPI_Comm other;
    MPI_Comm_dup(MPI_COMM_WORLD, &other);
    double sum = 0;
    if (rank > 0)
        follow();
    else if (size > 1)
        sum = lead();
    for (int i = 0; size == 1 && i < tasks; i++) {
        Task task = make(i);
        sum += solve(&task);
    }
    CHECK(rank > 0 || fabs(sum - acos(-1)) < 1e-10);
    int value = 7 * rank, told = 0;
    MPI_Request request;
    if (rank == 0) {
        hear_from_all(other);
    } else {
        MPI_Issend(&value, 1, MPI_INT, 0, LAST, other, &request);
        while (!told)
            MPI_Test(&request, &told, MPI_STATUS_IGNORE);
    }
    MPI_Comm_free(&other);
    MPI_Type_free(&task_type);
    MPI_Finalize();
    return 0;
}
