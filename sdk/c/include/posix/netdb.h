// There is no network beside MPI: no name is found.
#ifndef FAASM_POSIX_NETDB_H
#define FAASM_POSIX_NETDB_H

#include <netinet/in.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hostent {
    char *h_name;
    char **h_aliases;
    int h_addrtype, h_length;
    char **h_addr_list;
};
#define h_addr h_addr_list[0]
#define HOST_NOT_FOUND 1

struct hostent *gethostbyname(const char *name);
struct hostent *gethostbyaddr(const void *address, socklen_t length, int type);
extern int h_errno;

#ifdef __cplusplus
}
#endif

#endif
