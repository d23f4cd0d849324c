package ovs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"weft/engine/host/row"
	"weft/engine/step"
)

// QoSSpec is the attributes of ovs_qos.
type QoSSpec struct {
	Port        string                       `json:"port,omitzero" weft:"label" doc:"The port whose outgoing packets are meant."`
	State       step.State                   `json:"state,omitzero" doc:"Whether the port should have a QoS."`
	Type        step.Attr[string]            `json:"type,omitzero" weft:"enum=linux-htb|linux-hfsc|linux-sfq|linux-codel|linux-fq_codel|linux-netem|linux-noop|egress-policer|trtcm-policer" doc:"How packets are scheduled. Must be given; the policers are for ports of DPDK. linux-noop leaves the device's own scheduler alone."`
	OtherConfig map[string]step.Attr[string] `json:"other_config,omitzero" doc:"Keys of the type: max-rate (bit/s) of linux-htb and linux-hfsc, cir and cbs of egress-policer, latency and loss of linux-netem, …; absent removes a key, keys left out stay."`
	Queues      []QoSQueue                   `json:"queues,omitzero" weft:"set" doc:"All queues, of linux-htb, linux-hfsc and trtcm-policer; [] is the default queue alone."`
	ExternalIDs map[string]step.Attr[string] `json:"external_ids,omitzero" doc:"Keys of the QoS's external_ids; absent removes a key, keys left out stay."`

	Error string   `json:"error,omitzero" weft:"found"` // why it is not in force
	Found *qosRows `json:"found,omitzero" weft:"found"`
	// Left are rows of this port that nobody refers to; nil in what a playbook
	// says, not in what was found.
	Left []*saved `json:"left" weft:"found"`
	Seen qosSeen  `json:"seen,omitzero" weft:"found"`
}

// QoSQueue is a queue of a QoS. What is left out is not set.
type QoSQueue struct {
	Number      int               `json:"number" weft:"required" doc:"Number of the queue, as OpenFlow's action set_queue says it; 0 is the default queue."`
	MinRate     step.Attr[int]    `json:"min_rate,omitzero" doc:"Rate that the queue has for sure, bit/s."`
	MaxRate     step.Attr[int]    `json:"max_rate,omitzero" doc:"Rate that the queue never exceeds, bit/s."`
	Burst       step.Attr[int]    `json:"burst,omitzero" doc:"Bits above max_rate that may go at once; of linux-htb."`
	Priority    step.Attr[int]    `json:"priority,omitzero" doc:"Of what min_rate leaves over a lower number gets first; of linux-htb."`
	DSCP        step.Attr[int]    `json:"dscp,omitzero" doc:"DSCP that packets of the queue are marked with, 0 to 63."`
	OtherConfig map[string]string `json:"other_config,omitzero" doc:"Further keys of the queue: cir, cbs, eir and ebs of trtcm-policer."`
}

// qosSeen is for warnings.
type qosSeen struct {
	SharedBy []string `json:"shared_by,omitzero"` // other ports that have the same QoS
}

// qosRows are the rows of a QoS as they were read.
type qosRows struct {
	QoS    row.Record         `json:"qos"`
	Queues map[int]row.Record `json:"queues,omitzero"` // by their numbers
}

const htbQueues = 0xf000 // how many the classes of a qdisc leave room for

// Validate implements [step.Validator].
func (s *QoSSpec) Validate() []step.Problem {
	var problems []step.Problem
	for _, p := range nameProblems(s.Port) {
		p.Path = "port"
		problems = append(problems, p)
	}
	if !s.State.There() {
		return problems
	}
	kind, typed := s.Type.Get()
	if !typed {
		problems = append(problems, step.Problem{Path: "type", Message: "is missing", Hint: `linux-htb for queues with rates; state = "absent" takes a QoS away`})
	}
	required := map[string][]string{"egress-policer": {"cir", "cbs"}, "trtcm-policer": {"cir", "cbs", "eir", "ebs"}}
	for _, key := range required[kind] {
		if s.OtherConfig[key].Or("") == "" {
			problems = append(problems, step.Problem{Path: "other_config." + key, Message: "is missing: " + kind + " polices nothing without it", Hint: "bytes per second for cir and eir, bytes for cbs and ebs"})
		}
	}
	if len(s.Queues) > 0 && typed && !slices.Contains([]string{"linux-htb", "linux-hfsc", "trtcm-policer"}, kind) {
		problems = append(problems, step.Problem{Path: "queues", Message: "mean nothing to " + kind, Hint: "linux-htb, linux-hfsc and trtcm-policer have queues"})
	}
	seen := map[int]bool{}
	for _, q := range s.Queues {
		problems = append(problems, q.problems(kind)...)
		if seen[q.Number] {
			problems = append(problems, step.Problem{Path: "queues", Message: fmt.Sprintf("number %d is there twice", q.Number)})
		}
		seen[q.Number] = true
	}
	return problems
}

func (q QoSQueue) problems(kind string) []step.Problem {
	var problems []step.Problem
	add := func(message, hint string) {
		problems = append(problems, step.Problem{Path: "queues", Message: fmt.Sprintf("queue %d: %s", q.Number, message), Hint: hint})
	}
	if q.Number < 0 || q.Number >= htbQueues {
		add("is no number of a queue", fmt.Sprintf("0 to %d", htbQueues-1))
	}
	for name, n := range map[string]step.Attr[int]{"min_rate": q.MinRate, "max_rate": q.MaxRate, "burst": q.Burst} {
		if v, ok := n.Get(); ok && v < 1 {
			add(name+" "+strconv.Itoa(v)+" is below 1", "rates are in bit/s, a burst is in bits; leave out what should not be set")
		}
	}
	low, lowSet := q.MinRate.Get()
	if high, ok := q.MaxRate.Get(); ok && lowSet && low > high {
		add(fmt.Sprintf("min_rate %d is above max_rate %d", low, high), "")
	}
	if n, ok := q.Priority.Get(); ok && (n < 0 || n > 1<<32-1) {
		add("priority "+strconv.Itoa(n)+" is none", "0 to 4294967295")
	}
	if n, ok := q.DSCP.Get(); ok && (n < 0 || n > 63) {
		add("dscp "+strconv.Itoa(n)+" is none", "0 to 63")
	}
	_, burst := q.Burst.Get()
	if _, priority := q.Priority.Get(); kind == "linux-hfsc" && (burst || priority) {
		add("burst and priority mean nothing to linux-hfsc", "it has min_rate and max_rate")
	}
	for _, key := range slices.Sorted(maps.Keys(q.fields())) {
		if _, twice := q.OtherConfig[key]; twice {
			add("other_config."+key+" is what an attribute of its own sets", "")
		}
	}
	return problems
}

// fields are the attributes that are keys of the queue's other_config.
func (q *QoSQueue) fields() map[string]textual {
	return map[string]textual{"min-rate": number{&q.MinRate}, "max-rate": number{&q.MaxRate}, "burst": number{&q.Burst}, "priority": number{&q.Priority}}
}

// spelledQueues leaves one way to say that something is not set.
func spelledQueues(list []QoSQueue) []QoSQueue {
	if list == nil {
		return nil
	}
	out := slices.Clone(list)
	for i := range out {
		q := &out[i]
		for _, n := range []*step.Attr[int]{&q.MinRate, &q.MaxRate, &q.Burst, &q.Priority, &q.DSCP} {
			if n.Absent() {
				*n = step.Attr[int]{}
			}
		}
		if len(q.OtherConfig) == 0 {
			q.OtherConfig = nil
		}
	}
	slices.SortStableFunc(out, func(a, b QoSQueue) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

func qosKind() step.Kind {
	return step.Kind{
		Name:    "ovs_qos",
		Summary: "Quality of service of a port's outgoing packets: a scheduler or policer, and its queues.",
		Doc: `The QoS and its queues are the port's own. Where the port was given a QoS that other ports have too, or queues that another QoS has,
it gets copies, and the others stay as they are. Rows that nobody refers to any more are removed with the change, and undo makes them again;
so are rows of this port (weft-port in external_ids) that another hand left behind when it took the QoS off the port.

` + "`queues`" + ` are managed as a whole. A packet gets into another queue than 0 by OpenFlow (set_queue). What comes in is limited by
` + "`ingress_policing_rate`" + ` of ovs_port.

The step is done when ovs-vswitchd says that the QoS is in force (` + "`ovs-appctl qos/show PORT`" + `). The linux types need the scheduler's kernel module
(sch_htb, sch_hfsc, …), and a port with a device; an error shows what the log says.

Open vSwitch keeps all of it in its database over a reboot.`,
		Spec: QoSSpec{},
		Example: `step "ovs_qos" "eth1" {
  type         = "linux-htb"
  other_config = { max-rate = "1000000000" }
  queues = [
    { number = 0, max_rate = 900000000 },
    { number = 1, min_rate = 100000000, priority = 1, dscp = 46 },
  ]
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[QoSSpec](u)
			if err != nil {
				return nil, err
			}
			spec.Queues = spelledQueues(spec.Queues)
			return qosStep{step.Of("QoS of port "+spec.Port, qos{}, spec), spec}, nil
		},
	}
}
