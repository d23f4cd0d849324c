package ovn

import (
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"weft/engine/step"
)

// AddressSetSpec is the attributes of an ovn_address_set.
type AddressSetSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"Name of the set, unique in the database: letters, digits, dots and underscores. Matches say it as $NAME."`
	Addresses   []string                     `json:"addresses,omitzero" weft:"set" doc:"All addresses of the set, of one sort: Ethernet, IPv4 or IPv6, each with or without a prefix length or a mask. Left out, another hand may fill the set."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a set that weft did not make may be managed, and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the set should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func addressSetKind() step.Kind {
	return step.Kind{
		Name:    "ovn_address_set",
		Summary: "A named set of addresses that ACLs match, in the northbound database.",
		Doc: `An ACL matches the set as $NAME: "ip4.src == $trusted". The set carries the step's owner in
external_ids (weft-owner); one of the same name that belongs to OpenStack Neutron, ovn-kubernetes,
another step or nobody is refused unless adopt = true.

ovn-controller passes over an ACL that names a set of mixed sorts, or one that is not there, and what
the ACL should drop gets through: remove the ACLs first. An address with bits beyond its prefix is all
of its network to it. The step refuses mixed sets and such addresses.`,
		Spec:    AddressSetSpec{},
		Target:  step.SharedNorthbound,
		Abreast: true,
		Example: `step "ovn_address_set" "trusted" {
  addresses = ["172.16.255.11", "172.16.3.0/24"]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, addressSetRows(), func(r rows[AddressSetSpec]) step.Resource[AddressSetSpec] { return addressSets{r} })
		},
	}
}

// Validate finds what ovn-controller would understand otherwise, or not at all.
func (s *AddressSetSpec) Validate() []step.Problem {
	problems := slices.Concat(validSymbol("name", s.Name), validKeys("external_ids", s.ExternalIDs),
		validOnce("addresses", s.Addresses, canonicalMember))
	sorts := map[string]string{}
	for _, element := range s.Addresses {
		sort, problem := sortOf(element)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		sorts[sort] = element
	}
	if len(sorts) > 1 {
		var examples []string
		for sort, element := range sorts {
			examples = append(examples, fmt.Sprintf("%s (%s)", element, sort))
		}
		slices.Sort(examples)
		problems = append(problems, step.Problem{
			Path: "addresses", Message: "mixes " + strings.Join(examples, ", "),
			Hint: "one set has addresses of one sort: make a set of each",
		})
	}
	return problems
}

// symbol is what ovn-nb(5) lets an address set and a port group be called.
var symbol = regexp.MustCompile(`^[a-zA-Z_.][a-zA-Z_.0-9]*$`)

// validSymbol wants a name that a match can say.
func validSymbol(path, name string) []step.Problem {
	if symbol.MatchString(name) {
		return nil
	}
	return []step.Problem{{
		Path: path, Message: fmt.Sprintf("%q has something else in it than letters, digits, dots and underscores, or begins with a digit", name),
		Hint: `matches could not say it; write it as "web_servers"`,
	}}
}

// sortOf says what an element of an address set is an address of.
func sortOf(element string) (sort string, problem *step.Problem) {
	wrong := func(message, hint string) (string, *step.Problem) {
		return "", &step.Problem{Path: "addresses", Message: fmt.Sprintf("%q %s", element, message), Hint: hint}
	}
	address, mask, masked := strings.Cut(element, "/")
	if ethernet.MatchString(address) {
		if masked && !ethernet.MatchString(mask) {
			return wrong("has a mask that is not an Ethernet address", `write "01:00:00:00:00:00/01:00:00:00:00:00"`)
		}
		return "Ethernet", nil
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return wrong("is no address", `write "172.16.255.11", "172.16.255.0/24", "fd00::/64" or "02:ac:10:ff:00:11"`)
	}
	sort = map[bool]string{true: "IPv4", false: "IPv6"}[a.Is4()]
	if p, err := netip.ParsePrefix(element); err == nil {
		if p != p.Masked() {
			return wrong("has bits beyond its prefix", fmt.Sprintf("the network is %s, the address %s", p.Masked(), a))
		}
		return sort, nil
	}
	if m, err := netip.ParseAddr(mask); masked && (err != nil || m.Is4() != a.Is4() || !within(a, m)) {
		return wrong("has a mask that does not fit", `write a prefix length, as "172.16.255.0/24"`)
	}
	return sort, nil
}

// within says whether an address has no bits but those of a mask.
func within(a, mask netip.Addr) bool {
	kept := mask.AsSlice()
	for i, b := range a.AsSlice() {
		if b&^kept[i] != 0 {
			return false
		}
	}
	return true
}

// canonicalMember is the one spelling of an element of an address set: a network of one
// address is that address. What is no address stays as it is.
func canonicalMember(element string) string {
	element = canonical(element)
	if address, mask, masked := strings.Cut(element, "/"); masked {
		address, mask = canonical(address), canonical(mask)
		element = address + "/" + mask
		if p, ok := asPrefix(address, mask); ok {
			element = p.String()
		}
	}
	if p, err := netip.ParsePrefix(element); err == nil && p.IsSingleIP() {
		return p.Addr().String()
	}
	return element
}

// asPrefix is an address with a prefix length, which may be written as a mask.
func asPrefix(address, mask string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	if p, err := netip.ParsePrefix(address + "/" + mask); err == nil {
		return p, true
	}
	ones := netip.MustParseAddr(map[bool]string{true: "255.255.255.255", false: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}[a.Is4()])
	length := 0
	m, _ := netip.ParseAddr(mask) // what is no address has no bits
	for _, b := range m.AsSlice() {
		length += bits.OnesCount8(b)
	}
	full, err := ones.Prefix(length)
	return netip.PrefixFrom(a, length), err == nil && full.Addr() == m
}

func addressSetRows() *table {
	return &table{
		name: "Address_Set", title: "address set", named: "name", unique: true,
		means: map[string]func(string) string{"addresses": canonicalMember},
	}
}

type addressSets struct{ rows[AddressSetSpec] }

// Advise names what others will notice.
func (addressSets) Advise(f *step.Finding, have, want AddressSetSpec) {
	if have.State.There() && !want.State.There() {
		f.Cost.Disruption = fmt.Sprintf("ACLs that name $%s match nothing from then on", want.Name)
	}
}
