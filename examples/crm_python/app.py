"""Contacts and companies, declared in Python.

Run `python examples/crm_python/app.py`, then post to http://localhost:8000/workflows/create_contact/execute.
"""

from nexusd import DataFlow, Nexus, WorkflowBuilder

app = Nexus(api_port=8000, mcp_port=3001, auto_discovery=False)

db = DataFlow(database_url="sqlite:///:memory:", auto_migrate=True)


@db.model
class Contact:
    """A person at a company."""

    id: str
    name: str
    email: str
    company: str


@db.model
class Company:
    """A company."""

    id: str
    name: str
    industry: str


def create_contact_workflow():
    """Create a contact."""
    workflow = WorkflowBuilder()
    workflow.add_node(
        "ContactCreateNode",
        "create",
        {"name": "{{name}}", "email": "{{email}}", "company": "{{company}}"},
    )
    return workflow.build()


def contact_workflow():
    """Create a contact, then list the contacts of the same company."""
    workflow = WorkflowBuilder()
    workflow.add_node(
        "ContactCreateNode",
        "create",
        {"name": "{{name}}", "email": "{{email}}", "company": "{{company}}"},
    )
    workflow.add_node("ContactListNode", "search", {"filter": {"company": "{{company}}"}, "limit": 10})
    workflow.add_connection("create", "result", "search", "input")
    return workflow.build()


app.register("create_contact", create_contact_workflow())
app.register("contact_workflow", contact_workflow())

if __name__ == "__main__":
    app.start()
