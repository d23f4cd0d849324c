package ovs_test

import (
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
	return m
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
			tx.Insert("Controller", "c", ovsdb.Row{"target": words[2]})
			tx.Mutate("Bridge", find(m, "Bridge", words[1]), row.AddRefs("controller", "c"))
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

func table(word string) string {
	return map[string]string{"bridge": "Bridge", "port": "Port", "interface": "Interface", "open_vswitch": "Open_vSwitch"}[word]
}

// find returns a row's UUID, or, where it is not there yet, the name under
// which the transaction inserts it.
func find(m *fake.Machine, table, name string) string {
	for _, r := range m.Rows(host.OpenVSwitch, table) {
		if name == "." || row.String(r, "name") == name {
			return row.ID(r)
		}
	}
	return map[string]string{"Bridge": "b", "Port": "p", "Interface": "i"}[table]
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
	case "stp_enable", "rstp_enable", "mcast_snooping_enable", "protected", "bond_fake_iface":
		return value == "true"
	case "trunks", "cvlans", "tag", "mtu_request", "ofport_request", "ingress_policing_rate", "ingress_policing_burst",
		"bond_updelay", "bond_downdelay":
		var all []int
		for s := range strings.SplitSeq(value, ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				panic(fmt.Sprintf("%s=%s", column, value))
			}
			all = append(all, n)
		}
		return row.Set(all...)
	case "protocols":
		return row.Set(strings.Split(value, ",")...)
	}
	return value
}
