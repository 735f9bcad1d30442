// A function that is no rank itself, and chains a job.
#include <faasm.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    size_t len;
    uint8_t *ranks = read_call_input(&len);
    const int call = chain_mpi("job", atoi((const char *)ranks), NULL, 0);
    free(ranks);
    if (call < 0)
        return -call;
    const int result = await_call(call);
    if (result != 0)
        return result < 0 ? -result : result;
    uint8_t *sum = get_call_output(call, &len);
    if (!sum)
        return 100;
    write_call_output(sum, len);
    free(sum);
    return 0;
}
