package ovn

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// chassisNamed is the chassis with that name, or else with that hostname. Two chassis of
// one hostname are what a reinstalled host leaves behind.
func chassisNamed(ctx context.Context, v host.View, name string) (ovsdb.Row, error) {
	found, err := chassisWhere(ctx, v, row.Is("name", name), row.Is("hostname", name))
	if err != nil {
		return nil, err
	}
	named, of := found[0], found[1]
	switch {
	case len(named) > 0:
		return named[0], nil
	case len(of) == 1:
		return of[0], nil
	case len(of) > 1:
		return nil, &step.ProbeError{
			Wanted: inSouthbound(name), Seen: fmt.Sprintf("%d chassis with that hostname: %s", len(of), listed(names(of, "name"))),
			Hint: "one of them is dead; `ovn-sbctl chassis-del NAME` removes it",
		}
	}
	all, err := selectRows(ctx, v.OVSDB, host.Southbound, row.Select("Chassis", []string{"name"}))
	if err != nil {
		return nil, err
	}
	return nil, &step.ProbeError{
		Wanted: inSouthbound(name), Seen: "chassis " + listed(names(all[0], "name")),
		Hint: "on that host, see that ovn-controller runs and what it says in /var/log/ovn/ovn-controller.log, and compare ovn-remote in `ovs-vsctl get Open_vSwitch . external_ids`",
	}
}

func inSouthbound(chassis string) string { return "chassis " + chassis + " in the southbound database" }

// chassisWhere are the chassis that meet each of the conditions.
func chassisWhere(ctx context.Context, v host.View, conditions ...ovsdb.Condition) ([][]ovsdb.Row, error) {
	ops := make([]ovsdb.Operation, len(conditions))
	for i, c := range conditions {
		ops[i] = row.Select("Chassis", []string{"_uuid", "name", "hostname", "encaps"}, c)
	}
	return selectRows(ctx, v.OVSDB, host.Southbound, ops...)
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// A generation is how far a chassis has come with what the northbound database asked for.
type generation struct {
	number int
	// took is the time from when ovn-northd took it up until the chassis had done it, by the
	// clocks of both hosts; zero where OVN before 20.12 does not tell, or the clocks differ by more.
	took time.Duration
}

func (g generation) String() string {
	s := fmt.Sprintf("generation %d", g.number)
	if g.took > 0 {
		s += fmt.Sprintf(", %d ms after ovn-northd took it up", g.took.Milliseconds())
	}
	return s
}

// reached says whether a chassis has done all that the northbound database
// asked for when it was read.
func reached(ctx context.Context, v host.View, chassis ovsdb.Row) (g generation, err error) {
	found, err := selectRows(ctx, v.OVSDB, host.Northbound, row.Select("NB_Global", nil))
	if err != nil {
		return g, err
	}
	if len(found[0]) == 0 {
		return g, &step.ProbeError{Wanted: "a row in NB_Global", Seen: "none", Hint: "see `systemctl status ovn-northd`"}
	}
	wanted, _ := row.Int(found[0][0], "nb_cfg")
	translated, _ := row.Int(found[0][0], "sb_cfg")
	began, _ := row.Int(found[0][0], "nb_cfg_timestamp")
	name := row.String(chassis, "name")
	private, err := selectRows(ctx, v.OVSDB, host.Southbound, row.Select("Chassis_Private", nil, row.Is("name", name)))
	if err != nil {
		return g, err
	}
	has := false
	for _, p := range private[0] {
		g.number, has = row.Int(p, "nb_cfg")
		if done, _ := row.Int(p, "nb_cfg_timestamp"); g.number == wanted && began > 0 && done > began {
			g.took = time.Duration(done-began) * time.Millisecond
		}
	}
	switch {
	case wanted == 0:
		return g, &step.ProbeError{Wanted: "a generation to wait for", Seen: "NB_Global.nb_cfg is 0: nobody ever asked for one", Hint: "change the network by weft, or run `ovn-nbctl --wait=hv sync`"}
	case translated < wanted:
		return g, &step.ProbeError{Wanted: fmt.Sprintf("generation %d from ovn-northd", wanted), Seen: fmt.Sprintf("generation %d", translated), Hint: "see `systemctl status ovn-northd` and /var/log/ovn/ovn-northd.log"}
	case !has || g.number < wanted:
		return g, &step.ProbeError{Wanted: fmt.Sprintf("generation %d from chassis %s", wanted, name), Seen: fmt.Sprintf("generation %d", g.number), Hint: "its row is stale or ovn-controller is stuck: on that host see /var/log/ovn/ovn-controller.log"}
	}
	return g, nil
}
