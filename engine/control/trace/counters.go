package trace

import (
	"context"
	"regexp"
	"slices"
	"strconv"

	"weft/engine/wire"
)

// Counted is what a port of the integration bridge has counted since it was made.
type Counted struct {
	Host string `json:"host"`
	Port string `json:"port"` // the name of its interface, which others chose
	In   int    `json:"in"`   // packets
	Out  int    `json:"out"`
	// Dropped and Errors are those that came in or should have gone out. Tunnels
	// have none.
	Dropped int `json:"dropped,omitempty"`
	Errors  int `json:"errors,omitempty"`
}

// port is an interface on its host.
type port struct {
	on    *machine
	iface iface
}

// counts are what ports have counted, by the ports' numbers.
type counts map[int]count

type count struct{ rx, tx, dropped, errors int }

var (
	portCounts = regexp.MustCompile(`port +([0-9]{1,5}): rx pkts=([0-9]{1,18}),([^\n]*)\n +tx pkts=([0-9]{1,18}),([^\n]*)`)
	// A port that cannot count them says "?".
	dropCounts  = regexp.MustCompile(`drop=([0-9]{1,18})`)
	errorCounts = regexp.MustCompile(`errs=([0-9]{1,18})`)
)

// readCounts reads what ovs-ofctl(8) dump-ports says.
func readCounts(text string) counts {
	c := counts{}
	for _, m := range portCounts.FindAllStringSubmatch(text, -1) {
		number, _ := strconv.Atoi(m[1]) // they fit
		rx, _ := strconv.Atoi(m[2])
		tx, _ := strconv.Atoi(m[4])
		c[number] = count{rx, tx, sum(dropCounts, m[3], m[5]), sum(errorCounts, m[3], m[5])}
	}
	return c
}

func sum(form *regexp.Regexp, texts ...string) int {
	all := 0
	for _, text := range texts {
		if m := form.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1]) // it fits
			all += n
		}
	}
	return all
}

// counted asks hosts for what the ports of their integration bridges counted.
func (t *tracer) counted(ctx context.Context, hosts []*machine) map[string]counts {
	questions := map[string][]wire.Ask{}
	for _, m := range hosts {
		questions[m.name] = []wire.Ask{{Query: []string{"ovs-ofctl", "-OOpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15", "dump-ports", m.bridge}}}
	}
	if len(questions) == 0 {
		return nil
	}
	all := map[string]counts{}
	for name, said := range t.asker.Ask(ctx, questions) {
		all[name] = readCounts(said[0].Text)
	}
	return all
}

// count fills in what the ports of all hops have counted; of those that do not say,
// nothing.
func (t *tracer) count(ctx context.Context) {
	var hosts []*machine
	for _, h := range t.hops {
		for _, p := range h.ports {
			if !slices.Contains(hosts, p.on) && p.iface.bridge == p.on.bridge {
				hosts = append(hosts, p.on)
			}
		}
	}
	all := t.counted(ctx, hosts)
	for i, h := range t.hops {
		for _, p := range h.ports {
			if c, ok := all[p.on.name][p.iface.number]; ok && p.iface.bridge == p.on.bridge {
				t.hops[i].Counted = append(t.hops[i].Counted, Counted{p.on.name, p.iface.name, c.rx, c.tx, c.dropped, c.errors})
			}
		}
	}
}
