//! Policies of domains and of the mesh: parses and validates them, and decides what a principal may see. No query
//! engine, no network.
//!
//! # Policies
//! A product has policies in `policies/*.cedar` and agreements in `agreements/*.yaml`, in the folder of its descriptor.
//! They bind the ports of this product only. The mesh has a folder of `*.cedar` files, with a subfolder `agreements`,
//! which every node gets. Policies are written in [Cedar](https://docs.cedarpolicy.com). Three annotations have a
//! meaning:
//!
//! - `@id("…")` names the rule. Without it the name is `file.cedar:line`.
//! - `@row_filter("…")` adds a SQL condition over the columns of the port.
//! - `@mask("…")` masks the columns that a `forbid` matches, instead of hiding them. [`Mask`] lists the names.
//!
//! # Types
//! The schema is generated from the catalog. In Cedar's notation:
//!
//! ```cedar
//! entity User in [Group] = { name: String } tags Set<String>;
//! entity Group; entity Domain; entity Tag; entity Classification; entity Product; entity Port;
//! entity Column in [Port, Product, Domain, Tag, Classification];
//! // One type for each port, with a column for each attribute. A column that may be NULL is optional.
//! entity sales::orders::orders in [Port, Product, Domain, Tag] = { id: Long, region?: String };
//! action read, insert, describe appliesTo { principal: User, resource: sales::orders::orders, context: Context };
//! action read appliesTo { principal: User, resource: Column, context: Context };
//! type Context = { purpose?: String, now: datetime, via: Set<String> };
//! ```
//!
//! The tags of a `User` are the attributes of the principal. The ids are full names, such as
//! `Product::"sales.orders"` and `Column::"sales.orders.orders.email"`. [`entity_type`] states how the names of ports
//! become names of types, and [`ColumnKind`] which columns Cedar can read. A port has its own tags and the tags of its
//! product. A column has its own tags only.
//!
//! # Rows
//! A row is visible if and only if at least one `permit` is true and every `forbid` is false. A `forbid` that fails or
//! is NULL hides the row, although Cedar itself would skip it. [`Condition`] is the filter that decides this.
//!
//! # Catalogs
//! The action `describe` decides who sees a port in catalogs. Whoever may read a port may describe it, unless a `forbid`
//! on `describe` matches. Others see the port too, so that they can ask for access, unless a permit of the port names
//! the action `describe`: then only those see it whom a rule permits to describe or to read it.
//! [`Policies::shows`] decides this.
//!
//! # Columns
//! A `forbid` whose resource is a `Column` hides the column, or masks it. No permit is needed: a permit of the port
//! gives its columns. A `forbid` that fails counts as matched.
//!
//! # Combination
//! The rules of the product and of the mesh are two layers, and a principal must pass both. A layer of the mesh denies
//! by default only where it has a permit. The layer of a product denies by default if the product has at least one
//! policy or agreement.

mod agreement;
mod cache;
mod caller;
mod condition;
mod decide;
mod decision;
mod describe;
mod entity;
mod evaluation;
mod files;
mod later;
mod mask;
mod mask_key;
mod operators;
mod policies;
mod refused;
mod residual;
mod resolve;
mod rule;
mod schema;
mod scope;
mod statements;
mod time;
mod validate;
mod warnings;

pub use cache::DecisionCache;
pub use caller::Caller;
pub use condition::{Comparison, Condition, Literal, Operand, PatternPart};
pub use decision::{Action, ColumnRule, Decision, Denial, Governed, Reasons};
pub use entity::{ColumnKind, entity_type};
pub use files::{LayerFiles, PolicyFiles, SourceFile};
pub use mask::Mask;
pub use mask_key::MaskKey;
pub use policies::Policies;
pub use resolve::Report;
