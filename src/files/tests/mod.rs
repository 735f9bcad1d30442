//! The component as a whole: several stores over an in-process fabric.

mod bucket;
mod damage;
mod disk;
mod fabric;
mod full;
mod hostile;
mod membership;
mod put_get;
mod repairs;
mod scrubs;
