// Calls itself without end, with nothing on the stack in its own memory: what runs out is the
// stack of the host that runs it.
int (*volatile next)(int);

static int deeper(int depth)
{
    return next(depth + 1) + 1;
}

int main(void)
{
    next = deeper;
    return deeper(0) == 0;
}
