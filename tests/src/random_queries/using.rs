//! Joins by `USING` and `NATURAL`, which merge the columns that both sides have.

use super::generator::Generator;
use super::made_up::{EMPTY, PORTS};
use super::scope::{Kind, Output, Select};
use super::tables::{ColumnSpec, TableSpec};

/// One side of such a join, under an alias.
struct Side {
    sql: String,
    alias: String,
    /// The columns other than the shared ones.
    rest: Vec<ColumnSpec>,
}

impl Generator {
    /// Writes a `SELECT` over a join by the columns that two or three ports share.
    pub(super) fn using(&mut self, named: bool) -> Select {
        let first = self.port();
        let second = self.port();
        let shared: Vec<ColumnSpec> = first
            .columns
            .iter()
            .filter(|c| second.columns.iter().any(|o| o.0 == c.0 && o.1 == c.1))
            .filter(|c| matches!(c.1, Kind::Int | Kind::Text | Kind::Date | Kind::Decimal | Kind::Float))
            .copied()
            .collect();
        let Some(key) = self.pick(&shared).copied() else { return self.plain(0, None, named) };
        let mut keys = vec![key];
        if self.chance(0.3)
            && let Some(other) = self.pick(&shared).copied()
            && other.0 != key.0
        {
            keys.push(other);
        }
        let natural = self.chance(0.3);
        let (left, right) = (self.side(first, &keys, natural), self.side(second, &keys, natural));
        let mut from = left.sql.clone();
        let mut sides = vec![left, right];
        if self.maybe("chained using", 0.2) {
            let third = self.port();
            if keys.iter().all(|k| third.columns.iter().any(|c| c.0 == k.0 && c.1 == k.1)) {
                sides.push(self.side(third, &keys, natural));
            }
        }
        for side in &sides[1..] {
            let join = self.using_kind();
            from = if natural {
                format!("{from} NATURAL {join} {}", side.sql)
            } else {
                let names: Vec<&str> = keys.iter().map(|k| k.0).collect();
                format!("{from} {join} {} USING ({})", side.sql, names.join(", "))
            };
        }
        self.over_using(&from, &keys, &sides, named)
    }

    fn port(&mut self) -> &'static TableSpec {
        let count = PORTS.len();
        let table = &PORTS[self.below(count)].table;
        if table.name == EMPTY && self.chance(0.7) { &PORTS[0].table } else { table }
    }

    fn using_kind(&mut self) -> &'static str {
        if self.maybe("outer join using", 0.55) {
            return self.pick(&["RIGHT JOIN", "FULL JOIN", "LEFT JOIN"]).copied().unwrap_or("FULL JOIN");
        }
        self.tag("join using");
        "JOIN"
    }

    /// Writes a port. Its columns stay as they are. If a natural join must share only the keys, the other columns get
    /// new names.
    fn side(&mut self, table: &'static TableSpec, keys: &[ColumnSpec], natural: bool) -> Side {
        let alias = self.alias();
        let rest: Vec<ColumnSpec> = table.columns.iter().filter(|c| keys.iter().all(|k| k.0 != c.0)).copied().collect();
        if !natural && self.chance(0.7) {
            return Side { sql: format!("{} AS {alias}", table.name), alias, rest };
        }
        let keys: Vec<&str> = keys.iter().map(|k| k.0).collect();
        let one = self.pick(&rest).copied();
        let renamed = one.map(|c| format!(", {} AS {alias}_x", c.0)).unwrap_or_default();
        let sql = format!("(SELECT {}{renamed} FROM {}) AS {alias}", keys.join(", "), table.name);
        // An empty name stands for the new name, `<alias>_x`.
        let rest = one.map(|c| ColumnSpec("", c.1, c.2, "", c.4)).into_iter().collect();
        Side { sql, alias, rest }
    }

    fn over_using(&mut self, from: &str, keys: &[ColumnSpec], sides: &[Side], named: bool) -> Select {
        let output = |c: &ColumnSpec| Output { kind: c.1, distinct: c.2, family: c.3, literals: c.4, exact: true };
        let mut items: Vec<(String, Output)> = keys.iter().map(|k| (k.0.to_owned(), output(k))).collect();
        for side in sides {
            if let Some(column) = self.pick(&side.rest).copied()
                && self.chance(0.6)
            {
                let name = if column.0.is_empty() { format!("{}_x", side.alias) } else { column.0.to_owned() };
                items.push((format!("{}.{name}", side.alias), output(&column)));
            }
            if self.chance(0.15) {
                self.tag("qualified column of USING");
                items.push((format!("{}.{}", side.alias, keys[0].0), output(&keys[0])));
            }
        }
        let key = keys[0].0;
        let columns: Vec<_> = items.iter().map(|(sql, o)| o.named(sql.clone())).collect();
        let filter = if self.maybe("filter on the column of USING", 0.5) {
            match self.below(3) {
                0 => format!(" WHERE {key} IS NOT NULL"),
                1 => format!(" WHERE {}", self.simple_predicate(&columns[..1])),
                _ => format!(" WHERE {}", self.simple_predicate(&columns)),
            }
        } else {
            String::new()
        };
        let mut group = String::new();
        if self.chance(0.3) {
            self.tag("group by the column of USING");
            items = vec![(key.to_owned(), output(&keys[0])), ("count(*)".into(), Output::of(Kind::Int, 100.0))];
            group = format!(" GROUP BY {key}");
        }
        let (list, outputs) = self.list(items, named);
        Select { sql: format!("SELECT {list} FROM {from}{filter}{group}"), outputs, rows: 1_500.0 }
    }
}
