package ovn

import (
	"fmt"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/row"
	"weft/engine/step"
)

// ownerKey is the key in external_ids that says whose a row is.
const ownerKey = "weft-owner"

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

// mine is the condition that this step made a row.
func (o owner) mine() ovsdb.Condition {
	return row.Includes("external_ids", row.Strmap(map[string]string{ownerKey: o.tag}))
}

// ours says whether any step of the same site made a row.
func (o owner) ours(r ovsdb.Row) bool {
	tag, ok := row.Map(r, "external_ids")[ownerKey]
	return ok && strings.HasPrefix(tag, o.site)
}

// admit refuses a row that this step neither made nor may adopt.
func (o owner) admit(object string, r ovsdb.Row, adopt bool) error {
	ids := row.Map(r, "external_ids")
	if adopt || ids[ownerKey] == o.tag {
		return nil
	}
	return &foreignError{object: object, whose: whose(ids)}
}

// whose names the owner of a row by what the systems that use OVN leave in
// external_ids.
func whose(ids map[string]string) string {
	if tag := ids[ownerKey]; tag != "" {
		return fmt.Sprintf("the weft step %q", tag)
	}
	for key := range ids {
		switch {
		case strings.HasPrefix(key, "neutron:"):
			return "OpenStack Neutron (external_ids has " + key + ")"
		case strings.HasPrefix(key, "k8s.ovn.org/"), key == "k8s.ovn.org":
			return "ovn-kubernetes (external_ids has " + key + ")"
		}
	}
	return "no step of weft (external_ids has no " + ownerKey + ")"
}

// foreignError says that a row belongs to somebody else. To an undo it is a
// conflict: what it made is gone, and another hand's is in its place.
type foreignError struct{ object, whose string }

// Error says what would let weft have the row.
func (e *foreignError) Error() string {
	return fmt.Sprintf("%s is there and belongs to %s: give it another name, or set adopt = true if this step may manage and remove it", e.object, e.whose)
}

// Is makes the error a step.ErrConflict.
func (e *foreignError) Is(target error) bool { return target == step.ErrConflict }
