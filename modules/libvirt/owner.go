package libvirt

import (
	"fmt"
	"strings"

	"weft/engine/host/xmltree"
	"weft/engine/step"
)

// The element in <metadata> that says whose a domain or network is. libvirt
// keeps one element of each XML namespace there.
const (
	ownerElement   = "weft:owner"
	ownerNamespace = "urn:weft:1"
)

// owner is the tag of a step: the inventory's site and the step's address.
type owner struct {
	tag  string
	site string // what the tags of all steps of one site begin with; may be empty
}

func ownerOf(u step.Unit) owner {
	if u.Owner == "" {
		return owner{tag: u.Address}
	}
	return owner{tag: u.Owner, site: strings.TrimSuffix(u.Owner, u.Address)}
}

// tagOf reads the tag of a definition; empty where there is none.
func tagOf(n *xmltree.Node) string {
	if e := tagElement(n); e != nil {
		return e.Text
	}
	return ""
}

func tagElement(n *xmltree.Node) *xmltree.Node {
	if n.At("metadata") == nil {
		return nil
	}
	for _, c := range n.At("metadata").Children {
		for _, a := range c.Attrs {
			if a.Value == ownerNamespace {
				return c
			}
		}
	}
	return nil
}

// setTag gives a definition a tag, or takes it away where it is empty.
func setTag(n *xmltree.Node, tag string) {
	e := tagElement(n)
	switch {
	case tag == "" && e != nil:
		n.At("metadata").Remove(e)
		if len(n.At("metadata").Children) == 0 {
			n.Remove(n.At("metadata"))
		}
	case tag != "" && e == nil:
		n.Child("metadata").Add(&xmltree.Node{
			Name: ownerElement, Attrs: []xmltree.Attr{{Name: "xmlns:weft", Value: ownerNamespace}}, Text: tag,
		})
	case tag != "":
		e.Text = tag
	}
}

// admit refuses what this step neither made nor may adopt.
func (o owner) admit(object string, n *xmltree.Node, adopt bool) error {
	if tag := tagOf(n); !adopt && tag != o.tag {
		return &foreignError{object, whose(tag)}
	}
	return nil
}

// admitPart is admit for a step that manages a part of what another step of the
// same site may have made.
func (o owner) admitPart(object string, n *xmltree.Node, adopt bool) error {
	tag := tagOf(n)
	if adopt || tag == o.tag || tag != "" && o.site != "" && strings.HasPrefix(tag, o.site) {
		return nil
	}
	return &foreignError{object, whose(tag)}
}

func whose(tag string) string {
	if tag == "" {
		return "no step of weft"
	}
	return fmt.Sprintf("the weft step %q", tag)
}

// foreignError says that a thing belongs to somebody else. To an undo it is a
// conflict: what it made is gone, and another hand's is in its place.
type foreignError struct{ object, whose string }

// Error says what would let weft have it.
func (e *foreignError) Error() string {
	return fmt.Sprintf("%s is there and belongs to %s: give it another name, or set adopt = true if this step may manage and remove it", e.object, e.whose)
}

// Is makes the error a step.ErrConflict.
func (e *foreignError) Is(target error) bool { return target == step.ErrConflict }
