//! Classes of expressions that join conditions make equal. Equality is transitive: with `a = b` and `b = c`, the
//! relations of `a` and `c` can be joined as well, and a join order may begin with these two.

use datafusion::logical_expr::Expr;

use super::graph::Set;

/// Expressions that are equal in every row of the join. Each is of a different relation.
#[derive(Debug)]
pub(super) struct Class {
    members: Vec<(usize, Expr)>,
    relations: Set,
    /// True if other expressions may be added. It is false if the two members differ in type: a third one might then
    /// compare with only one of them.
    is_open: bool,
}

impl Class {
    /// Returns the relations of the members.
    pub(super) fn relations(&self) -> Set {
        self.relations
    }

    fn new(members: Vec<(usize, Expr)>, is_open: bool) -> Self {
        let mut new = Self { members: vec![], relations: 0, is_open };
        new.extend(members);
        new
    }

    fn extend(&mut self, members: Vec<(usize, Expr)>) {
        self.relations |= members.iter().fold(0, |set, (relation, _)| set | (1 << relation));
        self.members.extend(members);
    }

    /// Returns the member of a relation.
    pub(super) fn of(&self, relation: usize) -> Option<&Expr> {
        self.members.iter().find(|(r, _)| *r == relation).map(|(_, expr)| expr)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Expr> {
        self.members.iter().map(|(_, expr)| expr)
    }

    fn has(&self, (relation, expr): &(usize, Expr)) -> bool {
        self.is_open && self.of(*relation) == Some(expr)
    }
}

/// Adds the equality of two expressions of two relations. If it would give a class two members of one relation, it
/// becomes a class of its own: the relation would have to compare the two members.
pub(super) fn add(classes: &mut Vec<Class>, left: (usize, Expr), right: (usize, Expr), same_type: bool) {
    let position = |classes: &[Class], member: &(usize, Expr)| classes.iter().position(|c| c.has(member));
    if same_type {
        match (position(classes, &left), position(classes, &right)) {
            (Some(l), Some(r)) if l == r => return,
            (Some(l), Some(r)) if classes[l].relations() & classes[r].relations() == 0 => {
                let merged = std::mem::take(&mut classes[r].members);
                classes[l].extend(merged);
                classes.remove(r);
                return;
            }
            (Some(l), None) if classes[l].of(right.0).is_none() => return classes[l].extend(vec![right]),
            (None, Some(r)) if classes[r].of(left.0).is_none() => return classes[r].extend(vec![left]),
            (None, None) => return classes.push(Class::new(vec![left, right], true)),
            _ => {}
        }
    }
    classes.push(Class::new(vec![left, right], false));
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::col;

    use super::*;

    fn classes(equalities: &[(usize, &str, usize, &str)]) -> Vec<(Set, usize)> {
        let mut classes = vec![];
        for (left, l, right, r) in equalities {
            add(&mut classes, (*left, col(*l)), (*right, col(*r)), true);
        }
        classes.iter().map(|c| (c.relations(), c.members.len())).collect()
    }

    #[test]
    fn equality_is_transitive_in_any_order() {
        assert_eq!(classes(&[(0, "a", 1, "b"), (1, "b", 2, "c")]), [(0b111, 3)]);
        assert_eq!(classes(&[(0, "a", 1, "b"), (2, "c", 3, "d"), (3, "d", 0, "a")]), [(0b1111, 4)]);
        assert_eq!(classes(&[(0, "a", 1, "b"), (1, "b", 0, "a")]), [(0b11, 2)]);
        assert_eq!(classes(&[(0, "a", 1, "b"), (1, "other", 2, "c")]), [(0b11, 2), (0b110, 2)]);
    }

    #[test]
    fn no_class_has_two_of_one_relation() {
        // With a = x and b = x, only relation 0 itself can compare a and b.
        assert_eq!(classes(&[(0, "a", 1, "x"), (0, "b", 1, "x")]), [(0b11, 2), (0b11, 2)]);
        assert_eq!(classes(&[(0, "a", 1, "x"), (0, "b", 2, "y"), (1, "x", 2, "y")]).len(), 3);
    }

    #[test]
    fn an_equality_of_different_types_is_not_transitive() {
        let mut found = vec![];
        add(&mut found, (0, col("a")), (1, col("b")), false);
        add(&mut found, (1, col("b")), (2, col("c")), true);
        assert_eq!(found.len(), 2);
    }
}
