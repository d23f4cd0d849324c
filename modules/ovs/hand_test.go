package ovs_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/step/steptest"
	"weft/modules/ovs"
)

// kind finds a kind by its name.
func kind(t *testing.T, name string) step.Kind {
	t.Helper()
	return step.NewTable(ovs.Kinds())[name]
}

// machine is a host with a running Open vSwitch, a NIC eth1 and ifupdown.
func machine() *fake.Machine {
	m := fake.New()
	m.WriteFile("/sbin/ifup", "\x7fELF")
	m.WriteFile("/etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
	m.AddLink("", host.Link{Name: "eth1", MAC: "52:54:00:00:00:01", Up: true})
	m.AddOpenVSwitch()
	m.Program("tail", func(m *fake.Machine, c host.Command) host.Result {
		content, _ := m.File(c.Argv[len(c.Argv)-1])
		return host.Result{Stdout: []byte(content)}
	})
	m.Program("ovs-appctl", qosShow)
	return m
}

// qosShow is ovs-appctl qos/show on a kernel that has sch_htb and sch_hfsc alone.
func qosShow(m *fake.Machine, c host.Command) host.Result {
	name := c.Argv[len(c.Argv)-1]
	for _, p := range m.Rows(host.OpenVSwitch, "Port") {
		for _, q := range m.Rows(host.OpenVSwitch, "QoS") {
			kind := row.String(q, "type")
			if row.String(p, "name") == name && row.Ref(p, "qos") == row.ID(q) && (kind == "linux-htb" || kind == "linux-hfsc") {
				return host.Result{Stdout: []byte("QoS: " + name + " " + kind + "\n")}
			}
		}
	}
	return host.Result{Stdout: []byte("QoS not configured on " + name + "\n")}
}

// vsctl is another hand with ovs-vsctl(8), the same on the fake and on a host.
func vsctl(name string, args ...string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { ovsVsctl(m, args) },
		Host: []host.Command{{Argv: append([]string{"ovs-vsctl", "--timeout=10"}, args...)}},
	}
}

// query shows columns of one row: lists of several come in any order.
func query(table, name, columns string) []host.Command {
	return steptest.Run("ovs-vsctl", "--if-exists", "--columns="+columns, "list", table, name)
}

func steps(name string, hands ...steptest.Hand) steptest.Hand {
	all := steptest.Hand{Name: name, Fake: func(m *fake.Machine) {
		for _, h := range hands {
			h.Fake(m)
		}
	}}
	for _, h := range hands {
		all.Host = append(all.Host, h.Host...)
	}
	return all
}

// link is another hand with ip-link(8) or ip-address(8).
func link(name, device string, c host.LinkChange, argv ...string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { m.SetLink("", device, c) },
		Host: []host.Command{{Argv: append([]string{"ip"}, argv...)}},
	}
}

// edit is another hand with an editor.
func edit(name, file, content string) steptest.Hand {
	return steptest.Hand{
		Name: name,
		Fake: func(m *fake.Machine) { m.WriteFile(file, content) },
		Host: []host.Command{{Argv: []string{"tee", file}, Stdin: []byte(content)}},
	}
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// ovsVsctl is as much of ovs-vsctl as the hands need: commands are separated
// by "--", and all are one transaction.
func ovsVsctl(m *fake.Machine, args []string) {
	var tx row.Tx
	for command := range strings.SplitSeq(strings.Join(args, "\x00"), "\x00--\x00") {
		words := strings.Split(command, "\x00")
		switch words[0] {
		case "add-br":
			tx.Insert("Interface", "i", ovsdb.Row{"name": words[1], "type": "internal"})
			tx.Insert("Port", "p", ovsdb.Row{"name": words[1], "interfaces": row.UUIDs("i")})
			tx.Insert("Bridge", "b", ovsdb.Row{"name": words[1], "ports": row.UUIDs("p")})
			tx.Mutate("Open_vSwitch", find(m, "Open_vSwitch", "."), row.AddRefs("bridges", "b"))
		case "del-br":
			tx.Mutate("Open_vSwitch", find(m, "Open_vSwitch", "."), row.RemoveRefs("bridges", find(m, "Bridge", words[1])))
		case "add-port":
			tx.Insert("Interface", "i", ovsdb.Row{"name": words[2]})
			tx.Insert("Port", "p", ovsdb.Row{"name": words[2], "interfaces": row.UUIDs("i")})
			tx.Mutate("Bridge", find(m, "Bridge", words[1]), row.AddRefs("ports", "p"))
		case "add-bond":
			var ids []string
			for n, name := range words[3:] {
				ids = append(ids, fmt.Sprintf("i%d", n))
				tx.Insert("Interface", ids[n], ovsdb.Row{"name": name})
			}
			tx.Insert("Port", "p", ovsdb.Row{"name": words[2], "interfaces": row.UUIDs(ids...)})
			tx.Mutate("Bridge", find(m, "Bridge", words[1]), row.AddRefs("ports", "p"))
		case "add-bond-iface":
			tx.Insert("Interface", "i", ovsdb.Row{"name": words[2]})
			tx.Mutate("Port", find(m, "Port", words[1]), row.AddRefs("interfaces", "i"))
		case "del-bond-iface":
			tx.Mutate("Port", find(m, "Port", words[1]), row.RemoveRefs("interfaces", find(m, "Interface", words[2])))
		case "del-port":
			port := find(m, "Port", words[1])
			for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
				tx.Mutate("Bridge", row.ID(b), row.RemoveRefs("ports", port))
			}
		case "set-controller":
			remotes(&tx, "Bridge", find(m, "Bridge", words[1]), "controller", words[2:])
		case "del-controller":
			remotes(&tx, "Bridge", find(m, "Bridge", words[1]), "controller", nil)
		case "set-manager":
			remotes(&tx, "Open_vSwitch", find(m, "Open_vSwitch", "."), "manager_options", words[1:])
		case "del-manager":
			remotes(&tx, "Open_vSwitch", find(m, "Open_vSwitch", "."), "manager_options", nil)
		case "set":
			set(&tx, m, words)
		case "clear":
			tx.Update(table(words[1]), find(m, table(words[1]), words[2]), ovsdb.Row{words[3]: row.Empty()})
		case "remove":
			tx.Mutate(table(words[1]), find(m, table(words[1]), words[2]), row.SetKeys(words[3], map[string]*string{words[4]: nil})...)
		default:
			panic("no ovs-vsctl " + words[0])
		}
	}
	tx.Mutate("Open_vSwitch", find(m, "Open_vSwitch", "."), row.Increment("next_cfg"))
	m.Transact(host.OpenVSwitch, tx.Operations()...)
}

// remotes replaces the controllers of a bridge, or the managers.
func remotes(tx *row.Tx, holder, id, column string, targets []string) {
	names := []string{}
	for i, target := range targets {
		names = append(names, fmt.Sprintf("%s%d", column, i))
		tx.Insert(map[string]string{"controller": "Controller", "manager_options": "Manager"}[column], names[i], ovsdb.Row{"target": target})
	}
	tx.Update(holder, id, ovsdb.Row{column: row.UUIDs(names...)})
}

func table(word string) string {
	return map[string]string{
		"controller": "Controller", "manager": "Manager", "mirror": "Mirror", "qos": "QoS", "queue": "Queue",
		"bridge": "Bridge", "port": "Port", "interface": "Interface", "open_vswitch": "Open_vSwitch",
	}[word]
}

// find returns a row's UUID, or, where it is not there yet, the name under
// which the transaction inserts it.
func find(m *fake.Machine, table, name string) string {
	if table == "Controller" { // by its bridge
		for _, b := range m.Rows(host.OpenVSwitch, "Bridge") {
			if id := row.Ref(b, "controller"); id != "" && row.String(b, "name") == name {
				return id
			}
		}
	}
	for _, r := range m.Rows(host.OpenVSwitch, table) {
		if name == "." || table == "Manager" && row.String(r, "target") == name || row.String(r, "name") == name {
			return row.ID(r)
		}
	}
	return map[string]string{"Bridge": "b", "Port": "p", "Interface": "i", "Controller": "controller0", "Manager": "manager_options0"}[table]
}

func set(tx *row.Tx, m *fake.Machine, words []string) {
	where, id := table(words[1]), find(m, table(words[1]), words[2])
	op := func(o ovsdb.Operation) {
		o.Table, o.Where = where, []ovsdb.Condition{row.IsRow(id)}
		tx.Add(o)
	}
	for _, w := range words[3:] {
		column, value, _ := strings.Cut(w, "=")
		value = strings.Trim(value, `"`)
		if column, key, isMap := strings.Cut(column, ":"); isMap {
			op(ovsdb.Operation{Op: "mutate", Mutations: row.SetKeys(column, map[string]*string{key: &value})})
			continue
		}
		op(ovsdb.Operation{Op: "update", Row: ovsdb.Row{column: typed(column, value)}})
	}
}

func typed(column, value string) any {
	switch column {
	case "stp_enable", "rstp_enable", "mcast_snooping_enable", "protected", "bond_fake_iface", "fake_bridge", "select_all":
		return value == "true"
	case "trunks", "cvlans", "tag", "mtu_request", "ofport_request", "ingress_policing_rate", "ingress_policing_burst", "inactivity_probe", "max_backoff",
		"select_vlan", "output_vlan", "snaplen", "dscp", "bond_updelay", "bond_downdelay":
		return numbers(column, value)
	case "protocols":
		return row.Set(strings.Split(value, ",")...)
	}
	return value
}

func numbers(column, value string) any {
	var all []int
	for s := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(fmt.Sprintf("%s=%s", column, value))
		}
		all = append(all, n)
	}
	return row.Set(all...)
}

// probed runs a probe of a spec.
func probed(t *testing.T, m *fake.Machine, name string, spec any) (step.Report, error) {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	p, err := kind(t, name).Probe(step.Unit{Address: name + ".x", Kind: name, Name: "x", Spec: b})
	if err != nil {
		t.Fatal(err)
	}
	return p.Probe(t.Context(), m.Host().View())
}
