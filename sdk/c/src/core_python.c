// faasm/core.h: what the Python runtime asks.
#include <faasm/core.h>
#include <faasm/host_interface.h>

#include <stdlib.h>

// Room for a user's, a function's or an entry point's name.
enum { NAME_ROOM = 1024 };

static char* read_name(void (*read)(unsigned char*, long))
{
    char* name = calloc(NAME_ROOM + 1, 1);
    if (name)
        read((unsigned char*)name, NAME_ROOM);
    return name;
}

char* faasmGetPythonUser(void)
{
    return read_name(__faasm_get_py_user);
}

char* faasmGetPythonFunc(void)
{
    return read_name(__faasm_get_py_func);
}

char* faasmGetPythonEntry(void)
{
    return read_name(__faasm_get_py_entry);
}
