package ovn

import (
	"fmt"
	"slices"
	"strings"

	"weft/engine/step"
)

// DNSSpec is the attributes of an ovn_dns.
type DNSSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"What messages call the records. OVN has no name for them; the step leaves this one in external_ids (weft-name)."`
	Records     map[string]step.Attr[string] `json:"records,omitzero" doc:"Addresses by names, \"vm1.example.org\" = \"172.16.255.11 fd00::11\", or names by reverse ones, \"11.255.16.172.in-addr.arpa\" = \"vm1.example.org\". Names that are left out stay as they are; absent removes one."`
	Switches    []string                     `json:"switches,omitzero" weft:"set" doc:"Names of all logical switches whose guests get answers. Left out, another hand may say them."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the records should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func dnsKind() step.Kind {
	return step.Kind{
		Name:    "ovn_dns",
		Summary: "DNS records that OVN answers guests with, in the northbound database.",
		Doc: `ovn-controller answers queries that come from ports of the switches by itself, whatever server they
are sent to; a query that no record answers goes on to that server. Guests have a server from
ovn_dhcp_options, or by hand: any address will do.

A step has a row of its own, which carries the step's owner in external_ids (weft-owner). Rows of
others on the same switches stay as they are; where two have one name, it is not defined which of them
answers.`,
		Spec:   DNSSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_dns" "guests" {
  switches = ["ls1", "ls2"]
  records  = { for name, vm in var.vms : "${name}.example.org" => vm.address }
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, dnsRows(), func(r rows[DNSSpec]) step.Resource[DNSSpec] { return dns{r} })
		},
	}
}

// Validate finds records that no query meets, or that have no answer.
func (s *DNSSpec) Validate() []step.Problem {
	problems := slices.Concat(validName("name", s.Name), validOnce("switches", s.Switches, nil), validKeys("external_ids", s.ExternalIDs))
	for _, ls := range s.Switches {
		problems = append(problems, validName("switches", ls)...)
	}
	for name, value := range s.Records {
		path := "records." + name
		problems = append(problems, validDomain(path, name)...)
		if answer, ok := value.Get(); ok {
			problems = append(problems, validAnswer(path, name, answer)...)
		}
	}
	return problems
}

// validDomain wants a name as ovn-controller has it when it looks for a record.
func validDomain(path, name string) []step.Problem {
	switch {
	case strings.HasSuffix(name, "."):
		return []step.Problem{{Path: path, Message: "ends with a dot, which no query is compared with", Hint: "leave it out"}}
	case name != strings.ToLower(name):
		return []step.Problem{{Path: path, Message: "has capitals, which mean nothing to DNS", Hint: "write it as " + strings.ToLower(name)}}
	case len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }),
		slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return label == "" || len(label) > 63 }):
		return []step.Problem{{Path: path, Message: "is no domain name", Hint: `write it as "vm1.example.org"`}}
	}
	return nil
}

// validAnswer wants addresses, or of a reverse name a name.
func validAnswer(path, name, answer string) []step.Problem {
	words := elements(answer)
	if len(words) == 0 {
		return []step.Problem{{Path: path, Message: "has no answer", Hint: "absent removes a record"}}
	}
	reverse := strings.HasSuffix(name, ".in-addr.arpa") || strings.HasSuffix(name, ".ip6.arpa")
	for _, word := range words {
		switch {
		case reverse && len(words) == 1 && !validAddress(word):
			return validDomain(path, word)
		case reverse:
			return []step.Problem{{Path: path, Message: fmt.Sprintf("%q is not one name", answer), Hint: "a reverse name has one name as its answer"}}
		case !validAddress(word):
			return []step.Problem{{Path: path, Message: fmt.Sprintf("%q is not an IP address", word), Hint: `write "172.16.255.11 fd00::11"`}}
		}
	}
	return nil
}

func dnsRows() *table {
	return &table{
		name: "DNS", title: "DNS records", labelled: true,
		means:   map[string]func(string) string{"records": canonicalAnswer},
		holders: []relative{{attribute: "switches", table: "Logical_Switch", column: "dns_records"}},
	}
}

// canonicalAnswer is the one spelling of the answer of a record.
func canonicalAnswer(answer string) string {
	return strings.Join(canonicalList(strings.ToLower(answer)), " ")
}

type dns struct{ rows[DNSSpec] }

// Advise names what others will notice, and what has no effect.
func (dns) Advise(f *step.Finding, have, want DNSSpec) {
	if have.State.There() && !want.State.There() {
		f.Cost.Disruption = fmt.Sprintf("guests get no answers from DNS records %s any more", want.Name)
	}
	if want.State.There() && want.Switches != nil && len(want.Switches) == 0 {
		f.Warnings = append(f.Warnings, "no logical switch has these records: nobody gets an answer")
	}
}
