//! The tables of a database as queries read them.

/// A table, a view or a query in a database, as the queries of fragments read it under the alias `t`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlTable {
    /// The table in a `FROM` clause, without an alias: a quoted name, or a query in brackets.
    pub from: String,
    /// The columns of the port, in order.
    pub columns: Vec<SqlColumn>,
    /// True if the database can read the rows in ranges, so that several connections read one table.
    pub has_ranges: bool,
    /// True if the database stores the rows. It computes those of a view and of a query.
    pub is_stored: bool,
}

impl SqlTable {
    /// True if the database reads a column as it is stored, so that no row makes the read fail. A name with a bracket
    /// counts as computed.
    pub fn stores(&self, column: &str) -> bool {
        let mut named = self.columns.iter().filter(|known| known.name == column);
        self.is_stored && named.next().is_some_and(|known| !known.sql.contains('('))
    }
}

/// A column of a port in the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlColumn {
    /// The name in the port.
    pub name: String,
    /// The values as an expression over the alias `t`, such as `t."price"` or `CAST(t."mood" AS text)`. It has a type of
    /// the database that computes like the port's: not an integer for a decimal. Strings of MariaDB and MySQL have the
    /// character set `utf8mb4`, and those of PostgreSQL a deterministic collation.
    pub sql: String,
    /// The operations that the database may apply to the values.
    pub usage: ColumnUsage,
}

/// The operations that a database may apply to the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnUsage {
    /// All that it does with the column's type. Every value is one of that type, and the database compares it as such.
    All,
    /// It returns the values. Expressions over the column run at the node, because the database gives them another
    /// meaning for this column.
    Returned,
}

/// A query in the SQL of a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlQuery {
    /// The text of the query.
    pub text: String,
    /// The place for a range of rows, if the result consists of ranges of one table: each row of the result comes from
    /// one row of the table, and no other row has a part in it.
    pub ranges: Option<SqlRanges>,
}

/// The place in a query for a range of rows of the only table that it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SqlRanges {
    /// The position in the text, in bytes, behind the table and its alias `t`. ` WHERE …` may stand there.
    pub at: usize,
    /// The table, as in [`SqlTable::from`].
    pub from: String,
}

impl SqlQuery {
    /// Returns a query that is run as a whole.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { text: text.into(), ranges: None }
    }

    /// Returns the text of the query over the rows that fulfil a condition over the alias `t`. Without a place for
    /// ranges, it is the text of the whole query.
    pub fn in_range(&self, condition: &str) -> String {
        match &self.ranges {
            Some(ranges) => {
                let (before, after) = self.text.split_at(ranges.at);
                format!("{before} WHERE {condition}{after}")
            }
            None => self.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computed_column_is_not_stored() {
        let column = |name: &str, sql: &str| SqlColumn { name: name.into(), sql: sql.into(), usage: ColumnUsage::All };
        let columns = vec![column("id", "t.\"id\""), column("mood", "CAST(t.\"mood\" AS text)")];
        let table = SqlTable { from: "\"items\"".into(), columns, has_ranges: false, is_stored: true };
        assert_eq!(["id", "mood", "other"].map(|name| table.stores(name)), [true, false, false]);
        let view = SqlTable { is_stored: false, ..table };
        assert!(!view.stores("id"));
    }
}
