//! Walking the root, directories before what is in them, protected paths left out.

use std::io;

use super::{Cursor, Node, Root, RootPath, Tree};

/// Calls `visit` for the exact path `top` if it exists, then for everything below: a directory before its children, those
/// in the order of their names. Protected paths are left out, and contents are not read. What vanishes meanwhile is left out.
pub fn walk<E: From<io::Error>>(
    root: &Root,
    top: &RootPath,
    mut visit: impl FnMut(&RootPath, Node) -> Result<(), E>,
) -> Result<(), E> {
    let mut cursor = Cursor::new(root);
    let mut todo = vec![top.clone()];
    while let Some(path) = todo.pop() {
        if root.is_protected(&path) {
            continue;
        }
        let Some(node) = cursor.observe(&path)? else { continue };
        if node.entry.is_directory() {
            let children = match cursor.read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                children => children?,
            };
            todo.extend(children.iter().rev().map(|name| path.join_name(name)));
        }
        visit(&path, node)?;
    }
    Ok(())
}

/// All that stands in the root now, marked foreign: identity and attributes, contents unread, protected paths left out.
pub fn scan(root: &Root) -> io::Result<Tree> {
    let mut tree = Tree::default();
    walk(root, &RootPath::root(), |path, node| {
        tree.insert(path.clone(), Node { foreign: true, ..node });
        Ok::<(), io::Error>(())
    })?;
    Ok(tree)
}
