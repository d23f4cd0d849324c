package ovn

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// ACLSpec is the attributes of an ovn_acl.
type ACLSpec struct {
	Name        string                       `json:"name,omitzero" weft:"label" doc:"What messages call the rule. ACLs have no name in OVN; the step knows its own by the owner in external_ids."`
	Switch      step.Attr[string]            `json:"switch,omitzero" weft:"whole" doc:"Name of the logical switch that the rule holds on. Either this or port_group."`
	PortGroup   step.Attr[string]            `json:"port_group,omitzero" weft:"whole" doc:"Name of the port group that the rule holds on, on every switch with a port of it."`
	Direction   string                       `json:"direction" weft:"required,enum=from-lport|to-lport" doc:"from-lport filters what comes from the switch's ports, to-lport what goes to them."`
	Priority    int                          `json:"priority" weft:"required" doc:"Of rules that match, the one with the highest number decides, 0 to 32767. Of equal ones it is not defined which."`
	Match       string                       `json:"match" weft:"required" doc:"Expression of ovn-sb(5), Logical_Flow: \"ip4.src == $trusted && tcp.dst == 443\". \"1\" is everything, ARP and neighbor discovery too."`
	Action      string                       `json:"action" weft:"required,enum=allow|allow-related|allow-stateless|drop|reject" doc:"What becomes of the packet. allow-related lets answers in as well."`
	Log         step.Attr[bool]              `json:"log,omitzero" doc:"Whether ovn-controller logs packets that match."`
	LogName     step.Attr[string]            `json:"log_name,omitzero" doc:"Name in log lines, at most 63 characters: the column name."`
	Severity    step.Attr[string]            `json:"severity,omitzero" weft:"enum=alert|warning|notice|info|debug" doc:"Severity of log lines; OVN's own default is info."`
	Meter       step.Attr[string]            `json:"meter,omitzero" doc:"Name of the meter that limits log lines."`
	Label       step.Attr[int]               `json:"label,omitzero" doc:"Number that connections get in the connection tracker, 0 to 4294967295; of allow and allow-related."`
	Options     map[string]step.Attr[string] `json:"options,omitzero" doc:"Keys of options: apply-after-lb, log-related. Keys that are left out stay as they are."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of external_ids. Keys that are left out stay as they are."`
	Adopt       bool                         `json:"adopt,omitzero" default:"false" doc:"Whether a rule that weft did not make, of the same owner, direction, priority and match, may be managed and removed."`
	State       step.State                   `json:"state,omitzero" default:"present" doc:"Whether the rule should be there."`

	Found *rowFound `json:"found,omitzero" weft:"found"`
}

func aclKind() step.Kind {
	return step.Kind{
		Name:    "ovn_acl",
		Summary: "A rule of a logical switch or a port group that lets packets through or drops them.",
		Doc: `What no rule matches passes. A switch that drops by default needs rules of a higher priority for ARP
and IPv6 neighbor discovery too.

The rule carries the step's owner in external_ids (weft-owner) and is found by it, so its direction,
priority and match can change. Where there is none, and a rule of the same direction, priority and
match is there that another hand made, the step refuses it unless adopt = true: two such rules, and it
is not defined which one decides.

An address set ($NAME) or port group (@NAME) that the match names must be there: ovn-controller
passes over a rule that it does not understand, and what it should drop gets through. Ports of type
router and localnet cannot be matched.`,
		Spec:   ACLSpec{},
		Target: step.SharedNorthbound,
		Example: `step "ovn_acl" "https-to-web" {
  port_group = "web"
  direction  = "to-lport"
  priority   = 1001
  match      = "outport == @web && ip4.src == $trusted && tcp.dst == 443"
  action     = "allow-related"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			return madeRow(u, aclRows(), func(r rows[ACLSpec]) step.Resource[ACLSpec] { return acls{r} })
		},
	}
}

// Validate finds what the database would refuse or ovn-controller pass over.
func (s *ACLSpec) Validate() []step.Problem {
	problems := slices.Concat(
		s.ownerProblems(), validRange("priority", step.Is(s.Priority), 0, 32767), matchProblems(s.Match, s.Direction),
		validRange("label", s.Label, 0, 1<<32-1), validKeys("options", s.Options), validKeys("external_ids", s.ExternalIDs))
	if len(s.LogName.Or("")) > 63 {
		problems = append(problems, step.Problem{Path: "log_name", Message: "is longer than 63 characters"})
	}
	tracked := s.Action == "allow" || s.Action == "allow-related"
	if s.Label.Or(0) != 0 && !tracked {
		problems = append(problems, step.Problem{Path: "label", Message: "means nothing to " + s.Action, Hint: "only connections that allow and allow-related let through have a label"})
	}
	if s.Options["apply-after-lb"].Or("") == "true" && s.Direction == "to-lport" {
		problems = append(problems, step.Problem{Path: "options.apply-after-lb", Message: "is for from-lport alone", Hint: "to-lport comes after the load balancers anyway"})
	}
	if s.Options["log-related"].Or("") == "true" && (!s.Log.Or(false) || s.Label.Or(0) == 0) {
		problems = append(problems, step.Problem{Path: "options.log-related", Message: "needs log = true and a label of its own"})
	}
	return problems
}

// ownerProblems wants one owner.
func (s *ACLSpec) ownerProblems() []step.Problem {
	ls, onSwitch := s.Switch.Get()
	pg, onGroup := s.PortGroup.Get()
	switch {
	case onSwitch && onGroup:
		return []step.Problem{{Path: "port_group", Message: "and switch are both given", Hint: "a rule has one owner; make two steps"}}
	case onSwitch:
		return validName("switch", ls)
	case onGroup:
		return validName("port_group", pg)
	}
	return []step.Problem{{Path: "switch", Message: "is missing, and port_group too", Hint: "say which of them has the rule"}}
}

func aclRows() *table {
	return &table{
		name: "ACL", title: "ACL",
		parents: []relative{
			{attribute: "switch", table: "Logical_Switch", column: "acls"},
			{attribute: "port_group", table: portGroupTable, column: "acls"},
		},
		natural:  []string{"direction", "priority", "match"},
		columns:  map[string]string{"log_name": "name"},
		unset:    map[string]any{"severity": "info"},
		always:   []string{"log", "label"},
		mentions: func(ctx context.Context, v host.View, a fields) error { return mentioned(ctx, v, a.text("match")) },
	}
}

type acls struct{ rows[ACLSpec] }

// Advise names what others will notice, and what has no effect.
func (acls) Advise(f *step.Finding, have, want ACLSpec) {
	f.Cost.Disruption = aclDisruption(f.Deltas, have, want)
	if !want.State.There() || want.Log.Or(false) {
		return
	}
	var idle []string
	for _, a := range []struct {
		name  string
		value step.Attr[string]
	}{{"severity", want.Severity}, {"meter", want.Meter}, {"log_name", want.LogName}} {
		if a.value.Or("") != "" {
			idle = append(idle, a.name)
		}
	}
	if len(idle) > 0 {
		f.Warnings = append(f.Warnings, strings.Join(idle, " and ")+" without effect: log = true is missing")
	}
}

// aclDisruption is what a change keeps from getting through; empty where it only
// logs otherwise, or lets more through.
func aclDisruption(deltas []step.Delta, have, want ACLSpec) string {
	on := "port group " + want.PortGroup.Or("")
	if ls, ok := want.Switch.Get(); ok {
		on = "logical switch " + ls
	}
	decides := slices.ContainsFunc(deltas, func(d step.Delta) bool {
		return slices.Contains([]string{"state", "switch", "port_group", "direction", "priority", "match", "action", "options.apply-after-lb"}, d.Path)
	})
	drops := want.Action == "drop" || want.Action == "reject"
	allowed := have.State.There() && strings.HasPrefix(have.Action, "allow")
	switch {
	case !decides:
		return ""
	case want.State.There() && drops:
		return fmt.Sprintf("%s of %s that matches %s is dropped", want.Direction, on, want.Match)
	case allowed:
		return fmt.Sprintf("what only this rule lets through on %s is dropped: %s %s", on, have.Direction, have.Match)
	}
	return ""
}
