package step

import (
	"bytes"
	"encoding/json"
)

// Attr is an attribute that a playbook may leave out. Its zero value is
// unmanaged: the step neither looks at it nor touches it. In JSON unmanaged is
// left out (tag it omitzero), absent is null, a value is itself.
type Attr[T any] struct {
	managed bool
	set     bool
	value   T
}

// Is returns an attribute with a value.
func Is[T any](v T) Attr[T] { return Attr[T]{managed: true, set: true, value: v} }

// None returns an attribute that is managed to be absent.
func None[T any]() Attr[T] { return Attr[T]{managed: true} }

// Get returns the value and whether there is one.
func (a Attr[T]) Get() (T, bool) { return a.value, a.set }

// Or returns the value, or v where there is none.
func (a Attr[T]) Or(v T) T {
	if a.set {
		return a.value
	}
	return v
}

// Managed says whether the attribute has a value or is absent.
func (a Attr[T]) Managed() bool { return a.managed }

// Absent says whether the attribute is managed to be absent.
func (a Attr[T]) Absent() bool { return a.managed && !a.set }

// IsZero says whether the attribute is unmanaged, so that omitzero leaves it
// out.
func (a Attr[T]) IsZero() bool { return !a.managed }

// MarshalJSON writes null for absent and unmanaged, else the value.
func (a Attr[T]) MarshalJSON() ([]byte, error) {
	if !a.set {
		return []byte("null"), nil
	}
	return json.Marshal(a.value)
}

// UnmarshalJSON reads null as absent.
func (a *Attr[T]) UnmarshalJSON(b []byte) error {
	*a = Attr[T]{managed: true}
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		return nil
	}
	a.set = true
	return json.Unmarshal(b, &a.value)
}

// attribute lets the comparer and the language see through the type
// parameter.
func (a Attr[T]) attribute() (managed, set bool, value any) { return a.managed, a.set, a.value }

// Inner returns the zero value of what the attribute holds, for code that
// walks specs by reflection.
func (a Attr[T]) Inner() any {
	var zero T
	return zero
}

// State says whether an object should be there. The zero value is Present.
type State string

// The states of an object.
const (
	Present State = "present"
	Absent  State = "absent"
)

// There says whether s is Present.
func (s State) There() bool { return s != Absent }
