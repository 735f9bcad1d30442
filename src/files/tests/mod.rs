//! The component as a whole: several stores over an in-process fabric.

mod damage;
mod disk;
mod fabric;
mod hostile;
mod put_get;
mod repairs;
