//! The rows of the domain `hr`, which its policies hide in part, and those of the domain `shop`, which has no policies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::values::{first_day_of_year, show_last_4};
use crate::ways::table;

/// The number of people, of whom 60 % are visible in each batch and in each row group.
pub const PEOPLE: i64 = 4000;
/// The rows of a row group. The file has several.
const ROW_GROUP_ROWS: usize = 500;
/// The number of orders.
pub const ORDERS: i64 = 3000;
/// A person whom the policy of `people` hides.
pub const HIDDEN: i64 = 1003;
/// A person whom the policy of `people` shows.
pub const VISIBLE: i64 = 1000;

/// The hidden rows of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenRows {
    /// The rows as they are.
    AsTheyAre,
    /// The same number of rows in the same places, with other values.
    Changed,
    /// Ten times as many rows.
    Many,
    /// No hidden rows, and the visible ones with masked values and without hidden columns.
    Absent,
}

/// A person.
#[derive(Clone, Debug)]
struct Person {
    id: i64,
    dept: &'static str,
    clearance: i64,
    bucket: i64,
    salary: Option<i64>,
    ssn: String,
    born: i32,
    rating: i64,
    note: String,
}

/// A port of the domain `hr`.
#[derive(Clone, Copy, Debug)]
pub struct PeoplePort {
    /// The name.
    pub name: &'static str,
    /// The condition of the permit for analysts, in Cedar, or a row filter in SQL.
    condition: Condition,
    is_visible: fn(&Person) -> bool,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Cedar(&'static str),
    Sql(&'static str),
    /// An agreement alone permits to read the rows.
    Agreement,
}

/// The ports of the domain `hr`. They have the same people, but other policies.
pub const PORTS: &[PeoplePort] = &[
    // The filter reads a hidden column.
    PeoplePort {
        name: "people",
        condition: Condition::Cedar("resource has clearance && resource.clearance == 1"),
        is_visible: |person| person.clearance == 1,
    },
    PeoplePort {
        name: "by_function",
        condition: Condition::Sql("upper(dept) = 'A'"),
        is_visible: |person| person.dept == "a",
    },
    PeoplePort {
        name: "rare",
        condition: Condition::Cedar("resource has bucket && resource.bucket < 1"),
        is_visible: |person| person.bucket < 1,
    },
    PeoplePort {
        name: "most",
        condition: Condition::Cedar("resource has bucket && !(resource.bucket > 98)"),
        is_visible: |person| person.bucket < 99,
    },
    PeoplePort { name: "audited", condition: Condition::Agreement, is_visible: |_| true },
    PeoplePort { name: "expired", condition: Condition::Agreement, is_visible: |_| true },
];

/// The columns of a person, with their logical types. The last two are hidden from analysts.
static COLUMNS: [(&str, &str); 9] = [
    ("id", "integer"),
    ("dept", "string"),
    ("bucket", "integer"),
    ("salary", "integer"),
    ("ssn", "string"),
    ("born", "date"),
    ("note", "string"),
    ("clearance", "integer"),
    ("rating", "integer"),
];
/// The columns that analysts see, as a list of SQL.
pub const VISIBLE_COLUMNS: &str = "id, dept, bucket, salary, ssn, born, note";
const VISIBLE_COUNT: usize = 7;

impl PeoplePort {
    /// Returns the columns of the port.
    pub fn columns(&self, hidden: HiddenRows) -> &'static [(&'static str, &'static str)] {
        if hidden == HiddenRows::Absent { &COLUMNS[..VISIBLE_COUNT] } else { &COLUMNS }
    }

    /// Returns the policies of the port for analysts, in Cedar.
    pub fn policies(&self) -> String {
        let name = self.name;
        let read = "principal in Group::\"analysts\", action == Action::\"read\"";
        let permit = match self.condition {
            Condition::Cedar(text) => format!("permit({read}, resource is hr::samples::{name}) when {{ {text} }};"),
            Condition::Sql(text) => {
                format!("@row_filter(\"{text}\")\npermit({read}, resource is hr::samples::{name});")
            }
            Condition::Agreement => String::new(),
        };
        let column = |id: &str, annotation: &str, column: &str| {
            format!(
                "@id(\"{id} of {name}\"){annotation}\nforbid(principal, action == Action::\"read\", \
                 resource == Column::\"hr.samples.{name}.{column}\")\nunless {{ principal in Group::\"owners\" }};\n"
            )
        };
        [
            permit,
            "\n".to_owned(),
            column("ssn", " @mask(\"show-last-4\")", "ssn"),
            column("born", " @mask(\"truncate-to-year\")", "born"),
            column("clearance", "", "clearance"),
            column("rating", "", "rating"),
        ]
        .concat()
    }

    /// Returns the number of visible rows.
    pub fn visible_rows(&self) -> i64 {
        (0..PEOPLE).filter(|id| (self.is_visible)(&person(*id))).count() as i64
    }

    /// Writes the rows of the port.
    pub fn write(&self, file: &Path, hidden: HiddenRows) {
        let mut people: Vec<Person> = (0..PEOPLE).map(person).collect();
        match hidden {
            HiddenRows::AsTheyAre => {}
            HiddenRows::Changed => {
                people.iter_mut().filter(|person| !(self.is_visible)(person)).for_each(change);
            }
            HiddenRows::Many => {
                let concealed: Vec<Person> = people.iter().filter(|p| !(self.is_visible)(p)).cloned().collect();
                people.extend(std::iter::repeat_n(concealed, 9).flatten());
            }
            HiddenRows::Absent => {
                people.retain(|person| (self.is_visible)(person));
                people.iter_mut().for_each(mask);
            }
        }
        let rows = batch(&people);
        let rows = match hidden {
            HiddenRows::Absent => rows.project(&(0..VISIBLE_COUNT).collect::<Vec<_>>()).unwrap(),
            _ => rows,
        };
        write_groups(file, &rows);
    }
}

/// Returns the port with this name.
pub fn port(name: &str) -> &'static PeoplePort {
    PORTS.iter().find(|port| port.name == name).expect("a port of `hr`")
}

fn person(id: i64) -> Person {
    let is_visible = id % 5 < 3;
    Person {
        id,
        dept: if is_visible { "a" } else { "b" },
        clearance: if is_visible { 1 } else { 3 },
        bucket: id * 37 % 100,
        salary: (id % 89 != 7).then_some(id * 1000),
        ssn: format!("{:03}-{:02}-{:04}", id % 1000, id % 97, id),
        born: (id * 7 % 20_000) as i32,
        rating: id % 11,
        note: format!("the note of person {id}, who is in department {}", if is_visible { "a" } else { "b" }),
    }
}

/// Changes the values of a hidden row, except those by which it is hidden.
fn change(person: &mut Person) {
    person.salary = Some(person.id % 7 - 9_000_000);
    person.ssn = format!("changed number {}", person.id);
    person.born = -3 - (person.id % 1000) as i32;
    person.rating += 100;
    person.note = format!("another text, of another length, for {}", person.id);
    person.id = -1 - person.id;
}

fn mask(person: &mut Person) {
    person.ssn = show_last_4(&person.ssn);
    person.born = first_day_of_year(person.born);
}

fn batch(people: &[Person]) -> RecordBatch {
    let numbers =
        |value: fn(&Person) -> Option<i64>| Arc::new(people.iter().map(value).collect::<Int64Array>()) as ArrayRef;
    let texts =
        |value: fn(&Person) -> &str| Arc::new(StringArray::from_iter_values(people.iter().map(value))) as ArrayRef;
    let born = Arc::new(Date32Array::from_iter_values(people.iter().map(|p| p.born)));
    table(vec![
        ("id", numbers(|p| Some(p.id))),
        ("dept", texts(|p| p.dept)),
        ("bucket", numbers(|p| Some(p.bucket))),
        ("salary", numbers(|p| p.salary)),
        ("ssn", texts(|p| &p.ssn)),
        ("born", born),
        ("note", texts(|p| &p.note)),
        ("clearance", numbers(|p| Some(p.clearance))),
        ("rating", numbers(|p| Some(p.rating))),
    ])
}

/// The columns of an order, with their logical types.
pub const ORDER_COLUMNS: [(&str, &str); 4] =
    [("number", "integer"), ("person", "integer"), ("amount", "integer"), ("tag", "string")];

/// Writes the orders of the domain `shop`: of visible people, of hidden ones, and of nobody. The tag of an order is the
/// masked number of a person.
pub fn write_orders(file: &Path) {
    let ids = || (0..ORDERS).map(|number| number * 7 % (PEOPLE + 100));
    let tags = ids().map(|id| show_last_4(&person(id).ssn));
    let rows = table(vec![
        ("number", Arc::new(Int64Array::from_iter_values(0..ORDERS)) as ArrayRef),
        ("person", Arc::new(Int64Array::from_iter_values(ids()))),
        ("amount", Arc::new(Int64Array::from_iter_values((0..ORDERS).map(|number| number % 50)))),
        ("tag", Arc::new(StringArray::from_iter_values(tags))),
    ]);
    write_groups(file, &rows);
}

fn write_groups(file: &Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}
