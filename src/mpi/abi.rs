//! The functions of the standard, read from the table that the header is made of.

use std::sync::OnceLock;

/// What the standard has, and what programs need to survive failures.
const TABLES: [&str; 2] =
    [include_str!("../../sdk/c/mpi/functions.tsv"), include_str!("../../sdk/c/mpi/extensions.tsv")];

/// How a parameter or result is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// A signed 32-bit number: `int`, and handles, which are small numbers too.
    Int,
    /// An address, in 32 bits without a sign.
    Address,
    /// A difference of addresses, in 32 bits with a sign: `MPI_Aint`.
    Aint,
    /// A signed 64-bit number: `MPI_Count`, `MPI_Offset`.
    Long,
    /// A `double`; of results only.
    Double,
}

/// What a handle is a handle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the standard's names")]
pub enum Kind {
    Comm,
    Group,
    Datatype,
    Op,
    Request,
    Message,
    Errhandler,
    Info,
    Win,
    File,
    Session,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the standard.
    pub name: &'static str,
    /// How it is passed.
    pub pass: Pass,
    /// Of which kind, if it is a handle, and not an address of one.
    pub handle: Option<Kind>,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name, with `_c` if it has one.
    pub name: &'static str,
    /// Its name without `_c`.
    pub base: &'static str,
    /// Whether its counts are `MPI_Count`, in arrays too.
    pub large: bool,
    /// How its result is passed.
    pub result: Pass,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

impl Function {
    /// The place of the first parameter that is a handle of this kind.
    pub fn first(&self, kind: Kind) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.handle == Some(kind))
    }
}

/// All of them.
pub fn functions() -> &'static [Function] {
    static ALL: OnceLock<Vec<Function>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all: Vec<Function> = TABLES.iter().flat_map(|table| rows(table)).collect();
        let names: std::collections::HashSet<_> = all.iter().map(|f| f.name).collect();
        let large = |name: &str| name.strip_suffix("_c").is_some_and(|base| names.contains(base));
        let mut all = all.clone();
        for function in &mut all {
            function.large = large(function.name);
            if function.large {
                function.base = &function.name[..function.name.len() - 2];
            }
        }
        all
    })
}

fn rows(table: &'static str) -> impl Iterator<Item = Function> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).skip(1);
    lines.map(|line| {
        let mut fields = line.split('\t');
        let name = fields.next().unwrap_or_default();
        let result = type_of(fields.next().unwrap_or_default()).0;
        let parameters = fields.next().unwrap_or_default().split(';').map(str::trim);
        let parameters =
            parameters.filter(|text| !text.is_empty() && *text != "void").map(parameter).collect();
        Function { name, base: name, large: false, result, parameters }
    })
}

fn parameter(text: &'static str) -> Parameter {
    let array = text.contains('[');
    let before = text.split('[').next().unwrap_or_default().trim_end();
    let split = before.rfind([' ', '*']).map_or(0, |at| at + 1);
    let (kind, name) = before.split_at(split);
    let (pass, handle) = match array || text == "..." {
        true => (Pass::Address, None),
        false => type_of(kind.trim()),
    };
    Parameter { name, pass, handle }
}

fn type_of(text: &str) -> (Pass, Option<Kind>) {
    let text = text.strip_prefix("const ").unwrap_or(text);
    let handle = match text {
        "MPI_Comm" => Kind::Comm,
        "MPI_Group" => Kind::Group,
        "MPI_Datatype" => Kind::Datatype,
        "MPI_Op" => Kind::Op,
        "MPI_Request" => Kind::Request,
        "MPI_Message" => Kind::Message,
        "MPI_Errhandler" => Kind::Errhandler,
        "MPI_Info" => Kind::Info,
        "MPI_Win" => Kind::Win,
        "MPI_File" => Kind::File,
        "MPI_Session" => Kind::Session,
        "int" | "MPI_T_cb_safety" => return (Pass::Int, None),
        "MPI_Count" | "MPI_Offset" => return (Pass::Long, None),
        "MPI_Aint" => return (Pass::Aint, None),
        "double" => return (Pass::Double, None),
        // Every other type is a pointer, or a handle of the tools interface.
        _ => return (Pass::Address, None),
    };
    (Pass::Int, Some(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> &'static Function {
        functions().iter().find(|function| function.name == name).expect("it is in the table")
    }

    #[test]
    fn parameters_are_passed_as_c_passes_them_on_wasm() {
        let pass = |name| of(name).parameters.iter().map(|p| p.pass).collect::<Vec<_>>();
        use Pass::{Address, Aint, Int, Long};
        assert_eq!(pass("MPI_Send"), [Address, Int, Int, Int, Int, Int]);
        assert_eq!(pass("MPI_Send_c"), [Address, Long, Int, Int, Int, Int]);
        assert_eq!(pass("MPI_Type_create_resized"), [Int, Aint, Aint, Address]);
        assert_eq!(pass("MPI_Pcontrol"), [Int, Address]);
        let alltoallw = [Address; 4].into_iter().chain([Address; 4]).chain([Int]);
        assert_eq!(pass("MPI_Alltoallw"), alltoallw.collect::<Vec<_>>());
        assert_eq!(of("MPI_Wtime").result, Pass::Double);
        assert_eq!(of("MPI_Send").parameters[2].handle, Some(Kind::Datatype));
        assert_eq!(of("MPI_Send").first(Kind::Comm), Some(5));
    }

    #[test]
    fn large_counts_are_known_by_the_name_without() {
        assert!(of("MPI_Send_c").large);
        assert_eq!(of("MPI_Send_c").base, "MPI_Send");
        assert!(!of("MPI_Send").large);
        assert_eq!(functions().len(), 664 + 7);
    }
}
