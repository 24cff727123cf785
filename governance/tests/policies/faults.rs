//! Faulty policies: messages with places, and closed ports.

use portolan_catalog::{DomainCatalog, Port, PortRef};
use portolan_governance::{Action, Caller, Decision, Policies, PolicyFiles};

use crate::fixtures::{NEW_YEAR, at, catalog, files, orders, read, resolve};

/// Returns the error of a product's policies, and checks that they close the product's ports and no others.
fn error(policies: &str) -> String {
    let (resolved, report) = resolve(policies, "");
    assert_eq!(report.errors.len(), 1, "{policies}: {report:?}");
    let closed: Vec<String> = resolved.closed().map(ToString::to_string).collect();
    assert_eq!(closed, ["sales.orders.order-items", "sales.orders.orders"], "{policies}");
    let decision = read(&resolved, &Caller::new("ann"));
    let text =
        "the port `sales.orders.orders` is closed: its policies have errors; ask the owner (`team-a`) to fix them";
    assert_eq!(decision, Decision::Closed(text.to_owned()));
    let customers = PortRef::new("sales", "people", "customers");
    assert_eq!(resolved.decide(&Caller::new("ann"), &customers, Action::Read, at(NEW_YEAR)), Decision::Open);
    report.errors[0].to_string()
}

fn condition(condition: &str) -> String {
    error(&format!("permit(principal, action, resource is sales::orders::orders)\nwhen {{\n{condition} }};"))
}

#[test]
fn syntax() {
    let text = error("permit(principal, action, resource);\n// a\npermit(principal,\n actoin, resource);");
    assert!(text.starts_with("orders.cedar:4: the policy cannot be read: "), "{text}");
    assert_eq!(
        error("permit(principal == ?principal, action, resource);"),
        "orders.cedar:1: templates are not supported: name the entity"
    );
    assert!(error("permit(principal, action, resource)").starts_with("orders.cedar:1: the policy cannot be read"));
}

#[test]
fn annotations() {
    assert_eq!(
        error("@row_filtre(\"id = 1\")\npermit(principal, action, resource);"),
        "orders.cedar:1: unknown annotation `@row_filtre`; did you mean `row_filter`?"
    );
    assert!(error("@row_filter(\" \") permit(principal, action, resource);").contains("`@row_filter` is empty"));
    assert_eq!(
        error("@mask(\"show-last4\") forbid(principal, action, resource is Column);"),
        "orders.cedar:1: unknown mask; did you mean `show-last-4`?"
    );
    assert!(error("@mask(\"show-last-4\") forbid(principal, action, resource);").contains("`@mask` needs a `forbid`"));
    assert!(error("@row_filter(\"id = 1\") forbid(principal, action, resource is Column);").contains("rows of ports"));
    assert!(
        error("@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);")
            .starts_with("orders.cedar:2: the policy `a` is also at orders.cedar:1")
    );
}

#[test]
fn scopes() {
    for (scope, message) in [
        (
            "principal, action == Action::\"raed\", resource",
            "unknown action `raed`; one of `read`, `insert`, `describe`; did you mean `read`?",
        ),
        (
            "principal == Group::\"a\", action, resource",
            "a principal is a `User`, never a `Group`; did you mean `User`?",
        ),
        (
            "principal in Role::\"a\", action, resource",
            "a principal is in a `Group`, never in a `Role`; did you mean `Group`?",
        ),
        (
            "principal, action, resource is Port",
            "no request has a `Port` as its resource; write `resource in Port::\"…\"`",
        ),
        ("principal, action, resource in Produkt::\"a\"", "no resource is in a `Produkt`; did you mean `Product`?"),
        (
            "principal, action, resource is sales::orders::order",
            "the product `orders` has no port of the type `sales::orders::order`; did you mean `sales::orders::orders`?",
        ),
        (
            "principal, action, resource in Product::\"sales.people\"",
            "the product `orders` has no `Product::\"sales.people\"`",
        ),
        (
            "principal, action, resource in Port::\"sales.orders.order\"",
            "the product `orders` has no `Port::\"sales.orders.order\"`; did you mean `sales.orders.orders`?",
        ),
    ] {
        assert_eq!(error(&format!("permit({scope});")), format!("orders.cedar:1: {message}"));
    }
    assert_eq!(
        error("forbid(principal, action, resource == Column::\"sales.orders.orders.emial\");"),
        "orders.cedar:1: the product `orders` has no `Column::\"sales.orders.orders.emial\"`; did you mean \
         `sales.orders.orders.email`?"
    );
    assert!(error("permit(principal, action, resource is Column);").contains("a permit of columns has no effect"));
    let insert = error("forbid(principal, action == Action::\"insert\", resource is Column);");
    assert_eq!(insert, "orders.cedar:1: rules on columns are about the action `read`");
}

#[test]
fn columns() {
    assert_eq!(
        condition("resource has regoin && resource.regoin == \"EU\""),
        "orders.cedar:1: no port that the policy is about has a column `regoin`; did you mean `region`?"
    );
    assert_eq!(
        condition("resource has weight && resource.weight == 1"),
        "orders.cedar:1: the column `sales.orders.orders.weight` has the type Float64, which conditions cannot compare: \
         use `@row_filter`"
    );
    let optional = condition("resource.region == \"EU\"");
    assert!(optional.starts_with("orders.cedar:3: not valid for sales.orders.orders: "), "{optional}");
    assert!(optional.ends_with("a column may be NULL: write `resource has column && …`"), "{optional}");
    let ty = condition("resource.id == \"1\"");
    assert!(ty.starts_with("orders.cedar:3: not valid for sales.orders.orders: "), "{ty}");
    let other = error(
        "permit(principal, action, resource) when { resource has region && resource.region == \"EU\" };\n\
                       permit(principal, action, resource) when { resource.sku == \"1\" };",
    );
    assert!(other.starts_with("orders.cedar:2: not valid for sales.orders.order"), "{other}");
}

#[test]
fn operators() {
    assert!(condition("resource.id * 2 > 10").contains("`*` over columns may overflow"));
    assert!(condition("resource.id + 1 > 10").contains("`+` over columns may overflow"));
    assert!(condition("-resource.id > 10").contains("over columns is not supported"));
    assert!(condition("(resource.id == 1) == true").contains("not conditions"));
    assert!(condition("[resource.id].contains(1)").contains("a set over columns is not supported"));
    assert!(condition("resource is sales::orders::orders").contains("the type of the resource in the scope"));
    assert!(condition("resource has day && resource.day.toTime() > duration(\"1h\")").contains("is not supported"));
    assert!(condition("(if resource.id == 1 then 1 else 2) == 1").contains("not `if`"));
}

#[test]
fn masks_that_do_not_fit() {
    assert_eq!(
        error("@mask(\"show-last-4\") forbid(principal, action, resource == Column::\"sales.orders.orders.amount\");"),
        "orders.cedar:1: the column `sales.orders.orders.amount`: the mask `show-last-4` expects a string, got Int32; \
         `replace-with-null` fits more types"
    );
}

#[test]
fn faults_of_the_mesh() {
    let (policies, report) = resolve("", "permit(principal, action, resource");
    assert_eq!((policies.closed().count(), report.errors.len()), (3, 1), "syntax closes everything");
    let (policies, report) =
        resolve("", "permit(principal, action, resource is sales::orders::orders) when { resource.x == 1 };");
    let closed: Vec<String> = policies.closed().map(ToString::to_string).collect();
    assert_eq!((closed, report.errors.len()), (vec!["sales.orders.orders".to_owned()], 1));
    let mask = r#"@mask("show-last-4") forbid(principal, action, resource == Column::"sales.orders.orders.id");"#;
    let (policies, _) = resolve("", mask);
    assert_eq!(policies.closed().count(), 1);
    let (policies, report) =
        resolve("", r#"forbid(principal, action, resource == Column::"sales.orders.orders.emial");"#);
    assert_eq!(policies.closed().count(), 1);
    let error = "mesh.cedar:1: the port `sales.orders.orders` has no column `emial`; did you mean `email`?";
    assert_eq!(report.errors[0].to_string(), error);
    // Rules about other domains have no effect here.
    let (policies, report) = resolve(
        "",
        r#"permit(principal, action, resource is finance::books::entries) when { resource.x == 1 };
           forbid(principal, action, resource in Product::"finance.books");
           forbid(principal, action, resource) when { resource has ledger && resource.ledger == 1 };"#,
    );
    assert_eq!((policies.closed().count(), report.errors), (0, vec![]));
}

#[test]
fn ports_that_are_not_open_cannot_be_read() {
    let catalog =
        DomainCatalog::new("sales", [Port::new(orders()).with_columns([portolan_catalog::Column::new("id")])]);
    let (policies, report) = Policies::new(&catalog, &files("permit(principal, action, resource);", ""));
    assert_eq!(report.errors, []);
    let decide = |action: Action| policies.decide(&Caller::new("ann"), &orders(), action, at(NEW_YEAR));
    assert!(
        matches!(decide(Action::Read), Decision::Closed(_)) && matches!(decide(Action::Insert), Decision::Closed(_))
    );
    assert!(matches!(decide(Action::Describe), Decision::Governed(_)));
    let unknown = policies.decide(&Caller::new("ann"), &PortRef::new("a", "b", "c"), Action::Read, at(NEW_YEAR));
    assert!(matches!(unknown, Decision::Closed(_)));
}

#[test]
fn files_of_folders() {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("products/orders/policies/a.cedar", "permit(principal == User::\"ann\", action, resource);");
    file(
        "products/orders/agreements/a.yml",
        "port: orders\nwho: {users: [bob]}\npurpose: fraud\nfrom: 2025-01-01\nuntil: 2027-01-01\n",
    );
    file("products/orders/a.cedar", "");
    file("mesh/m.cedar", "forbid(principal == User::\"eve\", action, resource);");
    let (products, mesh) = (folder.path().join("products"), folder.path().join("mesh"));
    let (policies, report) = Policies::load(&catalog(), &products, Some(&mesh));
    assert_eq!(report.errors.len(), 1);
    assert!(report.errors[0].to_string().contains("a.cedar: the file belongs to no product"));
    let is_admitted = |caller: Caller| matches!(read(&policies, &caller), Decision::Governed(_));
    assert!(is_admitted(Caller::new("ann")) && is_admitted(Caller::new("bob").with_purpose("fraud")));
    assert!(!is_admitted(Caller::new("bob")) && !is_admitted(Caller::new("eve")));
    let ungoverned: Vec<String> = policies.ungoverned().map(ToString::to_string).collect();
    assert_eq!(ungoverned, ["sales.people.customers"]);
    let (policies, report) = Policies::load(&catalog(), &products, Some(&folder.path().join("none")));
    assert_eq!((policies.closed().count(), report.errors.len()), (3, 2), "the mesh's folder is missing");
    assert_eq!(PolicyFiles::read(&catalog(), &products, None).products.len(), 1);
}

#[test]
fn products_with_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/a.cedar"), "permit(principal, action, resource);").unwrap();
    let mut catalog = catalog();
    for product in catalog.products.values_mut() {
        let file = folder.path().join(format!("{}.yaml", product.name));
        product.place = Some(portolan_catalog::Place { file, ..Default::default() });
    }
    let (policies, report) = Policies::load(&catalog, folder.path(), None);
    assert_eq!((policies.closed().count(), report.errors.len()), (3, 1));
    assert!(report.errors[0].message.starts_with("the products `orders` and `people` have the same folder"));
}
