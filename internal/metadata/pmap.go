package metadata

import (
	"cmp"
	"iter"

	"github.com/tidwall/btree"
)

// mapDegree sets the node size of every map: at most 15 entries. With smaller
// nodes a change of one entry copies less; with larger ones lookups are
// slightly faster. With 10,000 entries a change copies about 2 KiB.
const mapDegree = 8

// Map is an immutable ordered map; readers need no lock. Its zero value is
// empty. An edit makes a changed Map, which shares all unchanged nodes with the
// original.
//
// It is a btree.Map whose Copy is called on a private copy of the header: Copy
// itself writes to the map it is called on, which would race with readers.
type Map[K cmp.Ordered, V any] struct {
	tree *btree.Map[K, V]
}

// Len is the number of entries.
func (m Map[K, V]) Len() int {
	if m.tree == nil {
		return 0
	}
	return m.tree.Len()
}

// Get returns the value of a key.
func (m Map[K, V]) Get(key K) (v V, ok bool) {
	if m.tree == nil {
		return v, false
	}
	return m.tree.Get(key)
}

// All iterates over the entries, by ascending key.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.tree != nil {
			m.tree.Scan(yield)
		}
	}
}

// From iterates over the entries whose key is at least from, ascending.
func (m Map[K, V]) From(from K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.tree != nil {
			m.tree.Ascend(from, yield)
		}
	}
}

// edit begins a changed copy. It copies nothing until the first set or remove.
func (m Map[K, V]) edit() mapEdit[K, V] { return mapEdit[K, V]{base: m} }

// mapEdit is a Map being changed by one goroutine.
type mapEdit[K cmp.Ordered, V any] struct {
	base Map[K, V]
	tree *btree.Map[K, V] // nil until something changes
}

func (e *mapEdit[K, V]) get(key K) (V, bool) {
	if e.tree != nil {
		return e.tree.Get(key)
	}
	return e.base.Get(key)
}

func (e *mapEdit[K, V]) set(key K, value V) {
	e.own()
	e.tree.Set(key, value)
}

func (e *mapEdit[K, V]) remove(key K) {
	if _, ok := e.get(key); ok {
		e.own()
		e.tree.Delete(key)
	}
}

func (e *mapEdit[K, V]) own() {
	switch {
	case e.tree != nil:
	case e.base.tree == nil:
		e.tree = btree.NewMap[K, V](mapDegree)
	default:
		header := *e.base.tree
		e.tree = header.Copy()
	}
}

// current returns the map in its current state, for iteration between changes.
func (e *mapEdit[K, V]) current() Map[K, V] {
	if e.tree == nil {
		return e.base
	}
	return Map[K, V]{tree: e.tree}
}

// freeze ends the edit. The edit must not be used afterwards.
func (e *mapEdit[K, V]) freeze() Map[K, V] {
	m := e.current()
	if m.Len() == 0 {
		return Map[K, V]{}
	}
	return m
}
