// Does nothing: what a call costs by itself.
int main(void)
{
    return 0;
}
