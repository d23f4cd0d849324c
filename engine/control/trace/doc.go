// Package trace follows a packet between two guests of OVN, and names the hop
// where it dies.
//
// What hosts say is all that it knows: it asks them through an [Asker], in a few
// rounds, and each answer is taken apart by a function that needs no host. First
// all say what their databases hold; then a central says what the logical flows
// do with the packet (ovn-trace(8)), and where one drops it, the databases say on
// whose behalf; then the Open vSwitch of each chassis on the way says what its
// OpenFlow does (ofproto/trace of ovs-vswitchd(8)), the source's with the packet, and
// the others with what was seen to go into the tunnel to them; last, the ports on the
// way say what they have counted.
//
//	survey.go    what every host is asked, and the [network] made of the answers
//	ends.go      the two ends, by the names that people have for them
//	packet.go    the packet, as ovn-trace and ofproto/trace spell it
//	ovntrace.go  what ovn-trace says
//	openflow.go  what ofproto/trace says
//	logical.go   the hops through logical switches and routers
//	cause.go     on whose behalf a logical flow drops
//	frame.go     a packet as OpenFlow sees it
//	carried.go   what goes into tunnels
//	physical.go  the hops at ports and tunnels
//	bridges.go   the hops through the integration bridges
//	underlay.go  the hop through the bridge that tunnels arrive by
//	counters.go  what the ports have counted
//	ping.go      what they counted while packets really went
//	trace.go     all of it in order
//
// What a tunnel carries is read of the actions of the datapath that puts it in, and
// what the network between makes of it is told by the ping and by BFD alone. A datapath
// in userspace counts twice what it puts into a tunnel (seen with Open vSwitch 3.1).
//
// Nothing is changed on any host, and nothing sent but where a ping is asked for. One
// thing comes close: a userspace datapath that does not know the Ethernet address of a
// tunnel's other end asks for it by ARP when ofproto/trace comes to the tunnel.
package trace
