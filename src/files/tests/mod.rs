//! The component as a whole: several stores over an in-process fabric.

mod damage;
mod fabric;
mod put_get;
mod repairs;
