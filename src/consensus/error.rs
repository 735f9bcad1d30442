//! The errors of the handle.

use super::raft_node::Fatal;

/// Why a proposal was not (or may not have been) carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// There was no leader, no majority behind it, or a node was behind, until the deadline; it
    /// may still be done. The text says what is known.
    #[error("{0}")]
    NoQuorum(String),
    /// Too many proposals wait.
    #[error("too many changes wait for the leader; try again")]
    Full,
    /// This node stops.
    #[error("this node is stopping")]
    Stopping,
}

impl ProposeError {
    /// Whether trying again later, at this node, can help. After [`ProposeError::NoQuorum`] the
    /// change may have been made already.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Stopping)
    }
}

/// Why consensus could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node is not one of the cluster.
    #[error("{0} is not among the nodes of the cluster's configuration")]
    NotConfigured(crate::id::NodeId),
    /// An option or an address is not possible.
    #[error("consensus cannot be configured so: {0}")]
    Options(String),
    /// The log, its disk, or Raft itself.
    #[error("consensus could not be started: {0}")]
    Failed(String),
}

impl From<Fatal> for StartError {
    fn from(fatal: Fatal) -> Self {
        Self::Failed(fatal.to_string())
    }
}
