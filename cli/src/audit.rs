//! `portolan audit`: verifies the audit records in a folder, and shows the newest reads. The node may run meanwhile.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portolan_audit::{
    Account, Action, Fate, Filter, Mark, MarkState, Omitted, Outcome, Page, Point, PortRead, Verdict, Verified, reads,
    time_text, verify,
};
use portolan_catalog::printable;
use portolan_node::{Error, Result};

use crate::output::print;
use crate::units::show_number;

/// Arguments of `portolan audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditCommand {
    /// Follow the chain of all records, and name the first broken one
    Verify(VerifyArgs),
    /// List reads and refusals, the newest first
    Show(ShowArgs),
}

#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    /// The folder with the records
    folder: PathBuf,
    /// A mark that an earlier call printed: the chain must still contain this record
    #[arg(long, value_name = "SEQUENCE:HASH")]
    mark: Option<Mark>,
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The folder with the records
    folder: PathBuf,
    /// Only reads of this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only reads of this port, such as `sales.orders.orders`
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// The largest number of reads
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

/// Runs `portolan audit`.
///
/// # Errors
/// A broken record; files that cannot be read.
pub fn audit(args: AuditArgs) -> Result<()> {
    match args.command {
        AuditCommand::Verify(VerifyArgs { folder, mark }) => {
            let verified = verify(&folder, mark).map_err(|e| Error::failed(e.to_string()))?;
            print(&format!("{}: {}", folder.display(), report(&verified)))
        }
        AuditCommand::Show(ShowArgs { folder, principal, port, limit }) => {
            let filter = Filter { principal, port, limit, ..Filter::default() };
            let page = reads(&folder, &filter).map_err(|e| Error::failed(e.to_string()))?;
            print(&listed(&page))
        }
    }
}

/// Describes a chain without faults.
fn report(verified: &Verified) -> String {
    let Verified { records, segments, first, last, torn_bytes, mark } = verified;
    let mut text =
        format!("no faults in {} of {}\n", show_number(*records, "record"), show_number(*segments, "segment"));
    let point = |name: &str, Point { mark, time }: &Point| format!("{name}: {mark} of {}\n", time_text(*time));
    text.extend(first.iter().map(|first| point("first record", first)));
    text.extend(last.iter().map(|last| point("last record", last)));
    if let Some(first) = first.filter(|first| first.mark.sequence > 1) {
        text.push_str(&format!("the records before {} were removed, and later records say so\n", first.mark.sequence));
    }
    if *torn_bytes > 0 {
        text.push_str(&format!("{} after the last record are no complete record\n", show_number(*torn_bytes, "byte")));
    }
    text.push_str(match mark {
        MarkState::NotGiven => {
            "keep the mark of the last record in another place, and pass it as `--mark` the next time: without it, a \
             missing end or a new chain is not found\n"
        }
        MarkState::Found => "the chain contains the given mark\n",
        MarkState::Removed => "the record of the given mark was removed, so that its hash cannot be compared\n",
    });
    text
}

/// Returns a line for each read.
fn listed(page: &Page) -> String {
    let mut text: String = page.accounts.iter().map(|account| format!("{}\n", printable(&line(account)))).collect();
    if page.has_more {
        text.push_str("there are more reads: raise `--limit`, or name a principal or a port\n");
    }
    if page.damaged > 0 {
        let lines = show_number(page.damaged, "line");
        text.push_str(&format!("{lines} are no records: `portolan audit verify` names the first broken one\n"));
    }
    text
}

/// Describes a read or a refusal.
fn line(account: &Account) -> String {
    let Account { sequence, time, request, fate } = account;
    let columns = |PortRead { port, columns }: &PortRead| format!("{port} ({})", columns.join(", "));
    let ports: Vec<String> = request.ports.iter().map(columns).collect();
    let mut parts = vec![
        format!("#{sequence}"),
        time_text(*time),
        request.principal.clone(),
        format!("{} {}", action(request.action), ended(fate)),
        ports.join(", "),
        format!("query {}", request.query),
    ];
    parts.extend(request.fragment.iter().map(|fragment| format!("fragment {fragment}")));
    if !request.via.is_empty() {
        parts.push(format!("via {}", request.via.join(", ")));
    }
    parts.extend(request.purpose.iter().map(|purpose| format!("purpose {purpose}")));
    if request.decision.verdict == Verdict::Permit && request.decision.version.is_empty() {
        parts.push("no policy".to_owned());
    }
    if !request.decision.rules.is_empty() {
        parts.push(format!("rules {}", request.decision.rules.join(", ")));
    }
    if !request.decision.version.is_empty() {
        parts.push(format!("policies {}", request.decision.version));
    }
    for keys in &request.keys {
        parts.push(format!("keys of {}: {} ({} {})", keys.column, keys.count, keys.form, keys.digest));
    }
    if request.omitted != Omitted::default() {
        parts.push("the record leaves out a part of the request".to_owned());
    }
    parts.join("; ")
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Read => "read",
        Action::Insert => "insert",
        _ => "unknown action",
    }
}

fn ended(fate: &Fate) -> String {
    match fate {
        Fate::Open => "open".to_owned(),
        Fate::Refused { reason, detail } => format!("refused ({reason}): {detail}"),
        Fate::Ended(end) => {
            let outcome = match &end.outcome {
                Outcome::Completed => "completed".to_owned(),
                Outcome::Cancelled => "cancelled".to_owned(),
                Outcome::Failed { error } => format!("failed ({error})"),
                Outcome::Dropped => "dropped".to_owned(),
                _ => return "unknown: the node ended before the read".to_owned(),
            };
            let (rows, bytes) = (show_number(end.rows, "row"), show_number(end.bytes, "byte"));
            format!("{outcome} with {rows}, {bytes}, {} ms", end.duration_us / 1000)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_audit::{Request, Settings, Store};

    use super::*;

    fn args(folder: PathBuf, mark: Option<Mark>) -> AuditArgs {
        AuditArgs { command: AuditCommand::Verify(VerifyArgs { folder, mark }) }
    }

    #[test]
    fn reads_are_listed_and_a_changed_record_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("audit");
        let store = Store::open(&folder, Settings::default()).unwrap();
        let ports = vec![PortRead { port: "sales.p.people".to_owned(), columns: vec!["id".to_owned()] }];
        let request = Request { principal: "ann".to_owned(), query: "q1".to_owned(), ports, ..Request::default() };
        let mut read = store.begin(request).wait().unwrap();
        read.sent(2, 16);
        read.end(Outcome::Completed);
        store.flush().wait().unwrap();

        let page = reads(&folder, &Filter::default()).unwrap();
        let text = listed(&page);
        assert!(text.contains("; ann; read completed with 2 rows, 16 bytes, "), "{text}");
        assert!(text.contains("; sales.p.people (id); query q1"), "{text}");

        let verified = verify(&folder, None).unwrap();
        let last = verified.last.unwrap().mark;
        assert!(report(&verified).contains(&format!("last record: {last} of ")), "{}", report(&verified));
        audit(args(folder.clone(), Some(last))).unwrap();
        drop(store);

        let file = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let file = file.into_iter().find(|path| path.extension().is_some_and(|e| e == "jsonl")).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"ann\"", "\"bob\"")).unwrap();
        let error = audit(args(folder, None)).unwrap_err();
        assert!(error.owner_chain().contains("audit record 2"), "{}", error.owner_chain());
        assert_eq!(crate::exit::exit_code(&error), 1);
    }
}
