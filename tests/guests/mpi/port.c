/* What programs written for a workstation use beside MPI. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static MPI_Datatype word = MPI_DOUBLE;
static const MPI_Comm whole = MPI_COMM_WORLD;
double table[4 << 20];
static int barriers, caught, at_exit;
static jmp_buf back;

/* As tools that measure a program do. */
int MPI_Barrier(MPI_Comm comm)
{
    barriers += 1;
    return PMPI_Barrier(comm);
}

static void catches(int number) { caught = number; }

static void catches_info(int number, siginfo_t *info, void *context)
{
    (void)context;
    caught = number + (info->si_signo == number ? 100 : 0);
}

static void leaves(void) { at_exit = 1; }

static void jumps(int depth)
{
    if (depth == 0)
        longjmp(back, 7);
    jumps(depth - 1);
}

static double deep(int depth)
{
    volatile double here[4] = {depth, 1, 2, 3};
    return depth == 0 ? here[1] : deep(depth - 1) + here[1];
}

static void signals(void)
{
    struct sigaction action = {0}, old;
    action.sa_handler = catches;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && caught == SIGUSR1);
    action.sa_sigaction = catches_info;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGTERM, &action, &old) == 0 && old.sa_handler == SIG_DFL);
    CHECK(kill(getpid(), SIGTERM) == 0 && caught == SIGTERM + 100);
    CHECK(signal(SIGUSR2, catches) == SIG_DFL && raise(SIGUSR2) == 0 && caught == SIGUSR2);
    sigset_t set;
    CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGINT) == 0 && sigismember(&set, SIGINT));
    CHECK(!sigismember(&set, SIGHUP) && sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(alarm(0) == 0);
}

static void processes(void)
{
    int status;
    errno = 0;
    CHECK(fork() == -1 && errno == ENOSYS);
    errno = 0;
    CHECK(system("true") == -1 && errno == ENOSYS && system(NULL) == 0);
    errno = 0;
    CHECK(popen("true", "r") == NULL && errno == ENOSYS);
    errno = 0;
    CHECK(wait(&status) == -1 && errno == ECHILD && execlp("true", "true", NULL) == -1);
    CHECK(getpid() > 0 && getppid() > 0 && getpwuid(getuid()) != NULL);
}

static void *never(void *argument) { return argument; }

static void threads(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_key_t key;
    CHECK(pthread_attr_init(&attributes) == 0);
    int error = pthread_create(&thread, &attributes, never, NULL);
    CHECK(error == EAGAIN || error == ENOTSUP);
    CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_equal(pthread_self(), pthread_self()));
    CHECK(pthread_key_create(&key, NULL) == 0 && pthread_setspecific(key, &thread) == 0);
    CHECK(pthread_getspecific(key) == &thread && sched_yield() == 0);
}

static void memory(void)
{
    volatile char stack[6 << 20];
    stack[0] = 1;
    stack[sizeof stack - 1] = 2;
    CHECK(stack[0] + stack[sizeof stack - 1] == 3);
    void *aligned = NULL;
    CHECK(posix_memalign(&aligned, 4096, 100) == 0 && (uintptr_t)aligned % 4096 == 0);
    free(aligned);
    aligned = memalign(64, 100);
    CHECK(aligned != NULL && (uintptr_t)aligned % 64 == 0);
    free(aligned);
    char *mapped =
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED && mapped[12345] == 0 && munmap(mapped, 1 << 20) == 0);
    memset(table, 1, sizeof table);
    char *text = strdup("x");
    CHECK(text != NULL && strcasecmp(text, "X") == 0 && deep(2000) == 2001);
    free(text);
}

static void times_and_limits(void)
{
    struct rusage usage;
    struct rlimit limit;
    struct timeval now;
    struct tms used;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 32 << 10);
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && gettimeofday(&now, NULL) == 0);
    CHECK(times(&used) != (clock_t)-1 && clock() != (clock_t)-1);
    struct timespec pause = {0, 1000};
    CHECK(nanosleep(&pause, NULL) == 0 && usleep(1) == 0 && MPI_Wtick() > 0);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sysconf(_SC_PAGESIZE) > 0);
}

static void texts(int count, char **words)
{
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    int option, size = 0, verbose = 0;
    while ((option = getopt_long(count, words, "s:v", options, NULL)) != -1) {
        size = option == 's' ? atoi(optarg) : size;
        verbose |= option == 'v';
    }
    CHECK(size == 12 && verbose && optind == count - 1 && strcmp(words[optind], "rest") == 0);
    char text[100];
    snprintf(text, sizeof text, "%Lf %zu %" PRId64 " %a", 1.5L, (size_t)7, (int64_t)-1, 1.0);
    CHECK(strcmp(text, "1.500000 7 -1 0x1p+0") == 0);
    struct utsname about;
    char host[256], name[MPI_MAX_PROCESSOR_NAME];
    int length;
    CHECK(gethostname(host, sizeof host) == 0 && host[0] != '\0' && uname(&about) == 0);
    MPI_Get_processor_name(name, &length);
    CHECK(strcmp(name, host) == 0 && strerror(ENOENT)[0] != '\0');
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *ranks = getenv("PMI_SIZE");
    int me, all;
    MPI_Comm_rank(whole, &me);
    MPI_Comm_size(whole, &all);
    CHECK(rank != NULL && atoi(rank) == me && ranks != NULL && atoi(ranks) == all);
}

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    MPI_Init(NULL, NULL);
    atexit(leaves);
    int jumped = setjmp(back);
    if (jumped == 0)
        jumps(20);
    CHECK(jumped == 7);
    signals();
    processes();
    threads();
    memory();
    times_and_limits();
    char *words[] = {"program", "-s", "12", "--verbose", "rest", NULL};
    texts(5, words);
    MPI_Barrier(whole);
    CHECK(barriers == 1);
    double mine = 2, sum;
    int ranks;
    MPI_Comm_size(whole, &ranks);
    MPI_Allreduce(&mine, &sum, 1, word, MPI_SUM, whole);
    CHECK(fabs(sum - 2.0 * ranks) < 1e-12);
    MPI_Finalize();
    return 0;
}
