//! Checks a draft against the data: reads the rows as a node does, and finds the keys and the references that hold in
//! them.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_engine::{Error, Session};

use super::columns::ReferenceDraft;
use super::names::quoted;
use super::{Counted, PortDraft, Product};

/// The largest number of columns of a port that are tested as keys.
const MAX_CANDIDATES: usize = 6;
/// Words at the end of the names of keys.
const KEY_WORDS: [&str; 7] = ["id", "key", "uuid", "guid", "sku", "isbn", "ean"];
/// Words at the end of the names of columns that are often a part of a key.
const PART_WORDS: [&str; 10] = ["position", "pos", "line", "item", "seq", "sequence", "code", "no", "nr", "number"];

/// The rows of drafted ports, in a session of a node that has them.
pub(super) struct Rows<'a> {
    pub(super) session: &'a Session,
    pub(super) product: &'a Product,
    /// The largest number of rows of a port that are read.
    pub(super) limit: u64,
}

impl Rows<'_> {
    /// Returns the name of a port in SQL.
    fn table(&self, port: &PortDraft) -> String {
        [&self.product.domain, &self.product.name, &port.name].map(|name| quoted(name)).join(".")
    }

    /// Returns a query of these columns of a port.
    pub(super) fn select(&self, port: &PortDraft, columns: &[&str]) -> String {
        let columns: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
        format!("SELECT {} FROM {} LIMIT {}", columns.join(", "), self.table(port), self.limit)
    }

    /// Returns the one row of numbers that a statement has.
    async fn numbers(&self, sql: &str) -> Result<Vec<u64>, Error> {
        let batches = self.session.sql(sql).await?.collect().await?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0);
        let number = |column: &arrow::array::ArrayRef| {
            let value = column.as_primitive_opt::<Int64Type>().map(|column| column.value(0));
            value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default()
        };
        Ok(row.map(|row| row.columns().iter().map(number).collect()).unwrap_or_default())
    }

    /// Reads all columns of a port. Returns the number of rows, and the number of values of each column that are not
    /// NULL.
    pub(super) async fn count(&self, port: &PortDraft) -> Result<(Counted, Vec<u64>), Error> {
        let names: Vec<&str> = port.columns.iter().map(|column| column.name.as_str()).collect();
        let counts: Vec<_> = names.iter().map(|name| format!("count({})", quoted(name))).collect();
        let sql = format!("SELECT count(*), {} FROM ({}) AS t", counts.join(", "), self.select(port, &names));
        let mut numbers = self.numbers(&sql).await?;
        let rows = if numbers.is_empty() { 0 } else { numbers.remove(0) };
        Ok((Counted { rows, is_all: rows < self.limit }, numbers))
    }

    /// Returns the errors of the columns that cannot be read, with their positions.
    pub(super) async fn unreadable(&self, port: &PortDraft) -> Vec<(usize, Error)> {
        let mut errors = vec![];
        for (i, column) in port.columns.iter().enumerate() {
            let select = self.select(port, &[&column.name]);
            let sql = format!("SELECT count({}) FROM ({select}) AS t", quoted(&column.name));
            if let Err(error) = self.numbers(&sql).await {
                errors.push((i, error));
            }
        }
        errors
    }

    /// Returns the positions of the columns of a primary key: no row has a NULL in them, and no two rows are equal in
    /// them. `values` are the numbers of values that are not NULL. Empty if no likely key holds.
    pub(super) async fn key(&self, port: &PortDraft, counted: &Counted, values: &[u64]) -> Result<Vec<usize>, Error> {
        if counted.rows == 0 {
            return Ok(vec![]);
        }
        let is_candidate = |i: &usize| {
            let column = &port.columns[*i];
            let is_id = ["integer", "string"].contains(&column.text_type.logical_type);
            is_id && !column.is_partition && values.get(*i) == Some(&counted.rows)
        };
        let rank_of = |i: &usize| rank(&port.columns[*i].name, &port.name);
        let candidates: Vec<usize> = (0..port.columns.len()).filter(is_candidate).collect();
        let mut singles = candidates.clone();
        // One row says nothing about a column that is not named like a key.
        singles.retain(|i| (*i == 0 && counted.rows > 1) || rank_of(i) <= Rank::Key);
        singles.sort_by_key(rank_of);
        for i in singles.into_iter().take(MAX_CANDIDATES) {
            if self.is_unique(port, &[i], counted).await? {
                return Ok(vec![i]);
            }
        }
        // The first column and one more, such as an order and a position.
        let Some((0, others)) = candidates.split_first().map(|(first, others)| (*first, others)) else {
            return Ok(vec![]);
        };
        let mut others: Vec<usize> = others.iter().copied().filter(|i| rank_of(i) < Rank::Other).collect();
        others.sort_by_key(|i| std::cmp::Reverse(rank_of(i)));
        for i in others.into_iter().take(MAX_CANDIDATES) {
            if self.is_unique(port, &[0, i], counted).await? {
                return Ok(vec![0, i]);
            }
        }
        Ok(vec![])
    }

    async fn is_unique(&self, port: &PortDraft, columns: &[usize], counted: &Counted) -> Result<bool, Error> {
        let names: Vec<&str> = columns.iter().map(|i| port.columns[*i].name.as_str()).collect();
        let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let select = self.select(port, &names);
        let sql = format!("SELECT count(*) FROM (SELECT DISTINCT {list} FROM ({select}) AS t) AS d");
        Ok(self.numbers(&sql).await? == [counted.rows])
    }

    /// Returns the reference of a column to the key of another port of the product, if the name suggests one, and the
    /// other port has all values.
    pub(super) async fn reference(
        &self,
        ports: &[PortDraft],
        port: &PortDraft,
        column: usize,
    ) -> Result<Option<ReferenceDraft>, Error> {
        let own = &port.columns[column];
        // The other port refers to this one, if at all.
        if own.key_position.is_some() && rank(&own.name, &port.name) == Rank::OfPort {
            return Ok(None);
        }
        for other in ports.iter().filter(|other| other.name != port.name) {
            let mut key = other.columns.iter().filter(|column| column.key_position.is_some());
            let (Some(key), None) = (key.next(), key.next()) else { continue };
            let is_named = refers(&own.name, &other.name, &key.name) && !other.name.contains(['.', '/']);
            if !is_named || own.text_type.logical_type != key.text_type.logical_type || key.name.contains(['.', '/']) {
                continue;
            }
            let (from, to) = (quoted(&own.name), quoted(&key.name));
            let sql = format!(
                "SELECT count(*), count(p.k) FROM (SELECT {from} AS v FROM ({}) AS t WHERE {from} IS NOT NULL) AS c \
                 LEFT JOIN (SELECT DISTINCT {to} AS k FROM {}) AS p ON c.v = p.k",
                self.select(port, &[&own.name]),
                self.table(other)
            );
            match self.numbers(&sql).await?.as_slice() {
                [values, found] if values == found && *values > 0 => {
                    let (port, column) = (other.name.clone(), key.name.clone());
                    return Ok(Some(ReferenceDraft { port, column, values: *values }));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// The likelihood that a column is a key, by its name. The most likely one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    OfPort,
    Key,
    Part,
    Other,
}

/// Returns the rank of a column as a key of the port.
fn rank(column: &str, port: &str) -> Rank {
    let last = column.rsplit('_').next().unwrap_or(column);
    let is_key = KEY_WORDS.contains(&last) || last.ends_with("key");
    if ["id", "key", "uuid"].contains(&column) || (is_key && is_of(column, port)) {
        Rank::OfPort
    } else if is_key {
        Rank::Key
    } else if PART_WORDS.contains(&last) || last.ends_with("number") {
        Rank::Part
    } else {
        Rank::Other
    }
}

/// True if a column begins with the name of a port, or with its singular.
fn is_of(column: &str, port: &str) -> bool {
    singulars(port).any(|name| column.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('_')))
}

/// Returns the words that a row of a port could be called.
fn singulars(port: &str) -> impl Iterator<Item = String> {
    let forms = [
        Some(port.to_owned()),
        port.strip_suffix("ies").map(|stem| format!("{stem}y")),
        port.strip_suffix("es").map(str::to_owned),
        port.strip_suffix('s').map(str::to_owned),
    ];
    forms.into_iter().flatten()
}

/// True if the name of a column suggests that it refers to the key of another port: `customer_id` to `id` or
/// `customer_id` of `customers`, and `o_custkey` to `c_custkey`.
fn refers(column: &str, port: &str, key: &str) -> bool {
    let without_prefix = |name: &str| match name.split_once('_') {
        Some((prefix, rest)) if prefix.len() <= 2 && rest.len() > 3 => rest.to_owned(),
        _ => name.to_owned(),
    };
    let is_same = column == key || without_prefix(column) == without_prefix(key);
    let is_generic = ["id", "key", "code", "no", "nr", "number", "name", "uuid"].contains(&key);
    let of_port = singulars(port).any(|name| column == format!("{name}_{key}") || column == format!("{name}_id"));
    (is_same && !is_generic) || of_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_like_keys() {
        for (column, port, expected) in [
            ("id", "orders", Rank::OfPort),
            ("order_id", "orders", Rank::OfPort),
            ("category_key", "categories", Rank::OfPort),
            ("customer_id", "orders", Rank::Key),
            ("c_custkey", "customers", Rank::Key),
            ("zip_code", "customers", Rank::Part),
            ("l_linenumber", "lineitem", Rank::Part),
            ("name", "customers", Rank::Other),
            ("paid", "orders", Rank::Other),
        ] {
            assert_eq!(rank(column, port), expected, "{column} of {port}");
        }
    }

    #[test]
    fn references_are_named_like_the_key_or_its_port() {
        for (column, port, key) in [
            ("customer_id", "customers", "customer_id"),
            ("customer_id", "customers", "id"),
            ("category_id", "categories", "id"),
            ("warehouse", "warehouses", "warehouse"),
            ("o_custkey", "customer", "c_custkey"),
        ] {
            assert!(refers(column, port, key), "{column} to {port}.{key}");
        }
        for (column, port, key) in
            [("id", "customers", "id"), ("name", "customers", "name"), ("city", "customers", "id")]
        {
            assert!(!refers(column, port, key), "{column} to {port}.{key}");
        }
    }
}
