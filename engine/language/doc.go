// Package language is the front half of weft: it reads playbooks and
// inventories in HCL, evaluates their expressions, and ends in units
// ([step.Unit]), the steps of each host as plain data. It meets no machine.
//
// The work is done in four calls, each of which finds the mistakes that can be
// seen by then, all at once:
//
//	config, ds := language.Load(modules.Kinds(), language.Sources{Playbook: "x.hcl", Inventories: []string{"lab.hcl"}})
//	program, ds := config.Bind(language.Inputs{Flags: []string{"encap=vxlan"}})
//	ds := program.Validate()
//	units, ds := program.Units(program.Plays[0], "ubuntu2", language.Known{Facts: …, Outputs: …})
package language
