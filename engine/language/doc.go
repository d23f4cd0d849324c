// Package language is the front half of weft: it reads playbooks and
// inventories in HCL, evaluates their expressions, and ends in units
// ([step.Unit]), the steps of each host as plain data. It meets no machine.
//
// The work is done in four calls. Each finds all the mistakes that can be seen
// by then, and goes on as far as it can, so that they can be shown at once:
//
//	config, ds := language.Load(table, language.Sources{Playbook: "x.hcl", Inventories: []string{"lab.hcl"}})
//	program, more := config.Bind(language.Inputs{Flags: []string{"encap_type=vxlan"}})
//	ds = language.Join(ds, more, program.Validate())
//	if ds.Failed() { … }
//	units, ds := program.Units(program.Plays[0], "compute1", language.Known{Facts: …, Outputs: …})
//
// [Load] needs no values and finds unknown kinds, attributes, names and
// references to what comes later. [Config.Bind] gives the variables their
// values and finds the hosts. [Program.Validate] evaluates everything with facts
// and outputs unknown: wrong types and values. [Program.Units] is the same
// evaluation with what is known, for one host, and is called again as more
// becomes known.
//
// # Files
//
// A playbook holds variables, locals, lists of steps and plays; an inventory
// holds hosts, groups and the lab. All but plays may stand in either, and in
// files that `include` names:
//
//	include = ["lists/openvswitch.hcl"]     # relative to this file, as are file() and templatefile()
//	site    = "lab"                         # who owns the rows that we write into shared databases
//
//	variable "encap_type" {
//	  type        = string                  # string, number, bool, any, list(T), map(T), object({…}), …
//	  default     = "geneve"                # none: must be given
//	  description = "geneve or vxlan"
//	  sensitive   = false                   # true: never shown, see below
//	  validation {
//	    condition     = contains(["geneve", "vxlan"], var.encap_type)
//	    error_message = "OVN speaks geneve and vxlan"
//	  }
//	}
//
//	locals {
//	  remotes = [for h in role.central : "tcp:${h.vars.underlay}:6642"]
//	}
//
// Locals and `vars` may use var and local; locals also hosts and role, but no
// facts or outputs.
//
// # Inventory
//
//	host "compute1" {
//	  address = "10.127.1.3"                # where SSH goes; the name where it is left out
//	  roles   = ["compute"]                 # role.compute lists them, in the order of the inventory
//	  groups  = ["racked"]                  # or the group names its hosts
//	  vars    = { underlay = "10.127.0.3" } # host.vars.underlay
//	  ssh { user = "root" }                 # user, port, become, identity_files, proxy_jump
//	  nic "eth1" { network = "underlay" }   # for the lab: network, address, mac
//	}
//
//	group "racked" {                        # hosts, roles, vars, ssh
//	  vars = { rack = 7 }                   # a host's own vars win, then those of the last group
//	}
//
//	group "all" {                           # every host
//	  ssh { become = true }
//	}
//
//	lab "overlay" {
//	  image      = "debian-12"
//	  repository = ["openvswitch-switch"]
//	  network "management" {
//	    cidr   = "10.127.1.0/24"
//	    access = true                       # the machine itself joins it
//	  }
//	}
//
// # Plays and steps
//
//	play "chassis" {
//	  hosts        = role.compute           # host objects, names, patterns of [Program.Select], lists of these
//	  serial       = 10                     # hosts at a time; all by default
//	  max_failures = 0
//	  continue     = false
//	  on_failure   = "rollback"             # or "stop", "rollback_run", "rollback_all": see [Rollback]
//	  reboot       = "auto"                 # or "never", "staged": see step.RebootPolicy
//	  guard        = "60s"                  # of each step that changes something, see below
//	  time_limit   = "10m"                  # of each step
//	  description  = "all that compute"
//
//	  step "package" "openvswitch-switch" {}
//
//	  step "file" "motd" {
//	    for_each    = { motd = "hello", issue = "stop" }   # or a list of strings
//	    when        = host.facts.family == "debian"        # false: left out
//	    tags        = ["texts"]
//	    after_needs = ["ssh.service"]                      # settled before this step
//	    guard       = "60s"                                # 5s to 24h; absent: none, though the play has one
//	    time_limit  = "90s"                                # 1s to 24h; absent: none, though the play has one
//	    path        = "/etc/${each.key}"
//	    content     = each.value
//	  }
//	}
//
// A step's address is KIND.NAME, or KIND.NAME["KEY"] under for_each, and unique
// on a host across all plays. Its attributes are those of the kind's spec (see
// package step). One that is left out or null is unmanaged; the word absent
// means that it is managed to be absent:
//
//	tag     = var.vlan == 0 ? absent : var.vlan
//	options = { peer = absent, mtu = null }        # peer goes, mtu stays as it is
//
// A list of objects may be written as blocks, one an element.
//
// A guard is armed on the host before the step's first effect and covers the
// rest of the play: unless the change is confirmed over a new connection in
// that time, the host takes it back by itself. A step that is not done in its
// time_limit, from its check to its verification, fails. Both may be made of
// what is known before the play begins, so not of outputs.
//
// Expressions know var, local, host (name, address, roles, groups, vars, facts),
// hosts["NAME"], role.NAME, each, absent, and the outputs of other steps:
//
//	step.ovn_chassis.self.system_id                         # above, on this host
//	step.sysctl["net.ipv4.ip_forward"].value                # a name with dots
//	step.file.motd["issue"].path                            # of a for_each
//	hosts["compute1"].step.ovn_chassis.self.system_id       # of an earlier play
//	hosts[each.value.host].step.file.motd[each.key].digest  # both computed
//	[for h in role.compute : h.step.ovn_chassis.self.system_id]
//
// The outputs of a step that was left out are null. References that wait for
// something (`restart_on`) name the step itself: [step.file.conf].
//
// # Lists of steps
//
// A list is written once and used by plays of any playbook:
//
//	steps "unit" {
//	  param "name"    { type = string }
//	  param "content" { default = null }
//	  step "file" "unit" {
//	    path    = "/etc/systemd/system/${param.name}.service"
//	    content = param.content
//	  }
//	  step "service" "it" {
//	    name       = param.name
//	    restart_on = [step.file.unit]
//	  }
//	}
//
//	play "p" {
//	  …
//	  use "unit" "consul" {
//	    name    = "consul"
//	    content = file("consul.service")
//	    when    = contains(host.roles, "server")   # and tags
//	  }
//	  step "file" "x" { content = step.file["consul/unit"].path }
//	}
//
// The steps of a use are named USE/NAME. Inside a list a step names its
// siblings by their plain names, and nothing outside: what it needs comes by its
// params.
//
// # Values of variables
//
// A value comes from WEFT_VAR_name in the environment, from a file of variables
// (name = value in HCL), or from a flag, name=value or name=@path of a file that
// holds the value alone; else it is asked for. A file of variables may be
// encrypted with age ([Inputs].Decrypt).
//
// # Sensitive values
//
// What is made of a sensitive variable, or of a value of an encrypted file, is
// sensitive: the paths of such attributes are in Unit.Secret, and no diagnostic
// shows them. The reason of a mistake is left out where such a value takes part.
package language
