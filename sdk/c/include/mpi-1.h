// What MPI 3.0 removed, for programs that are older than that, and the handles' numbers for Fortran
// under the names before MPI 5.0: each by what replaced it. mpi.h includes it.
#ifndef MPI_1_H
#define MPI_1_H

#ifdef __cplusplus
extern "C" {
#endif

typedef void(MPI_Handler_function)(MPI_Comm *comm, int *error_code, ...);

static __inline int MPI_Address(void *location, MPI_Aint *address)
{
    return MPI_Get_address(location, address);
}

static __inline int MPI_Type_struct(int count, int *lengths, MPI_Aint *places, MPI_Datatype *types,
                                    MPI_Datatype *made)
{
    return MPI_Type_create_struct(count, lengths, places, types, made);
}

static __inline int MPI_Type_hvector(int count, int length, MPI_Aint stride, MPI_Datatype type,
                                     MPI_Datatype *made)
{
    return MPI_Type_create_hvector(count, length, stride, type, made);
}

static __inline int MPI_Type_hindexed(int count, int *lengths, MPI_Aint *places, MPI_Datatype type,
                                      MPI_Datatype *made)
{
    return MPI_Type_create_hindexed(count, lengths, places, type, made);
}

static __inline int MPI_Type_extent(MPI_Datatype type, MPI_Aint *extent)
{
    MPI_Aint lower;
    return MPI_Type_get_extent(type, &lower, extent);
}

static __inline int MPI_Type_lb(MPI_Datatype type, MPI_Aint *lower)
{
    MPI_Aint extent;
    return MPI_Type_get_extent(type, lower, &extent);
}

static __inline int MPI_Type_ub(MPI_Datatype type, MPI_Aint *upper)
{
    MPI_Aint lower, extent;
    int error = MPI_Type_get_extent(type, &lower, &extent);
    if (error == MPI_SUCCESS)
        *upper = lower + extent;
    return error;
}

static __inline int MPI_Errhandler_create(MPI_Handler_function *function, MPI_Errhandler *handler)
{
    return MPI_Comm_create_errhandler(function, handler);
}

static __inline int MPI_Errhandler_set(MPI_Comm comm, MPI_Errhandler handler)
{
    return MPI_Comm_set_errhandler(comm, handler);
}

static __inline int MPI_Errhandler_get(MPI_Comm comm, MPI_Errhandler *handler)
{
    return MPI_Comm_get_errhandler(comm, handler);
}

#define MPI_1_FORTRAN(kind, handle)                                                                \
    static __inline MPI_Fint kind##_c2f(handle c)                                                  \
    {                                                                                              \
        return kind##_toint(c);                                                                    \
    }                                                                                              \
    static __inline handle kind##_f2c(MPI_Fint f)                                                  \
    {                                                                                              \
        return kind##_fromint(f);                                                                  \
    }
MPI_1_FORTRAN(MPI_Comm, MPI_Comm)
MPI_1_FORTRAN(MPI_Errhandler, MPI_Errhandler)
MPI_1_FORTRAN(MPI_File, MPI_File)
MPI_1_FORTRAN(MPI_Group, MPI_Group)
MPI_1_FORTRAN(MPI_Info, MPI_Info)
MPI_1_FORTRAN(MPI_Message, MPI_Message)
MPI_1_FORTRAN(MPI_Op, MPI_Op)
MPI_1_FORTRAN(MPI_Request, MPI_Request)
MPI_1_FORTRAN(MPI_Session, MPI_Session)
MPI_1_FORTRAN(MPI_Type, MPI_Datatype)
MPI_1_FORTRAN(MPI_Win, MPI_Win)
#undef MPI_1_FORTRAN

#ifdef __cplusplus
}
#endif

#endif
