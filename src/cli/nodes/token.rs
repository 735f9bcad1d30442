//! `faasm nodes token`: join tokens.

use std::time::Duration;

use crate::cli::client::{ANSWER, Ask, Client};
use crate::cli::exit::CliError;
use crate::cli::table::Table;
use crate::cli::{Globals, out};
use crate::gateway::join_view::{NewTokenView, TokenRequest, TokensView};

/// Makes a join token and prints it.
pub fn make(globals: &Globals, expires: Duration, uses: u32) -> Result<(), CliError> {
    let request = TokenRequest { expires_s: expires.as_secs(), uses };
    let body = serde_json::to_vec(&request).map_err(|error| CliError::local(error.to_string()))?;
    let ask = Ask { method: "POST", path: "/v1/nodes/tokens", body: &body, within: ANSWER };
    let view: NewTokenView = Client::find(globals)?.json(ask)?;
    match globals.json {
        true => out::json(&view),
        false => out::line(view.token),
    }
}

/// Lists the open join tokens.
pub fn list(globals: &Globals) -> Result<(), CliError> {
    let view: TokensView = Client::find(globals)?.json(Ask::get("/v1/nodes/tokens"))?;
    if globals.json {
        return out::json(&view);
    }
    let mut table = Table::new(&["TOKEN", "USES", "EXPIRES"]);
    for token in &view.tokens {
        table.row([
            token.name.clone(),
            token.uses.to_string(),
            format!("in {} s", left(token.expires_ms)),
        ]);
    }
    out::line(table)
}

/// Revokes a join token.
pub fn revoke(globals: &Globals, name: &str) -> Result<(), CliError> {
    let path = format!("/v1/nodes/tokens/{name}");
    let ask = Ask { method: "DELETE", path: &path, body: &[], within: ANSWER };
    Client::find(globals)?.ask(ask)?;
    if globals.json { out::json(&serde_json::json!({ "revoked": name })) } else { Ok(()) }
}

fn left(expires_ms: u64) -> u64 {
    expires_ms.saturating_sub(crate::node::now_ms()) / 1000
}
